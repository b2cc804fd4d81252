"""Maps of a recorded program's heap over time: kept in its trace, and shown."""

import json
import os
import re
import struct
import subprocess
import sys
import time
from itertools import pairwise
from mmap import mmap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Build, chromium
from patalloc import Config, TraceError
from patalloc._core import ffi
from patalloc.preload import environment
from patalloc.traces import Trace
from patalloc.traces.frames import Frames
from patalloc.traces.maps import pack, parse, totals, unpack
from patalloc.traces.recording import Recorder, directory
from patalloc.watch.heapmap import Block, Fill, Map, Page, State

PATALLOC = (sys.executable, "-m", "patalloc")
SIZE, PAGES = 4 << 20, 100


def run(*arguments: object, cwd: Path, status: int = 0) -> "subprocess.CompletedProcess[str]":
    command = [*PATALLOC, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=100)
    assert done.returncode == status, done.stderr
    return done


def maps_of(path: Path) -> list[tuple[int, Map]]:
    with Trace(path) as trace:
        return [*trace.heap_maps()]


def grown(found: Map) -> list[int]:
    """Written pages of the program's live blocks."""
    live = [each for each in found.blocks if each.size == SIZE and each.is_live]
    return sorted(each.counts[Page.WRITTEN] for each in live)


@pytest.fixture(scope="module")
def trace(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("grown")
    done = run("record", "-o", "t.trace", "--", build("grows"), cwd=where)
    (where / "told").write_text(done.stdout)
    return where / "t.trace"


def test_each_is_as_it_was_then(trace: Path) -> None:
    found = maps_of(trace)
    steps = [grown(each) for _, each in found]
    whole = [PAGES * number for number in range(1, 9)]
    for step in steps:  # one that is being written may be there in part
        known = [pages for pages in step if pages in whole]
        assert len(known) >= len(step) - 1
    assert steps[-1] == whole[1:]
    assert whole[:4] in steps
    times = [at for at, _ in found]
    assert times == sorted(times)
    addresses = [int(word, 16) for word in (trace.parent / "told").read_text().split()]
    last = {each.address: each for each in found[-1][1].blocks}
    assert last.keys() >= {*addresses}
    with Trace(trace) as read:
        frames = Frames(read)
        for address in addresses:
            assert "make_block" in frames.names(last[address].stack)
    made = [last[address].since for address in addresses]
    assert all(later - earlier >= 100 for earlier, later in pairwise(made))


@pytest.mark.parametrize("how", ["k", "f"])
def test_however_it_ends(build: Build, tmp_path: Path, how: str) -> None:
    status = -9 if how == "k" else 0
    run("record", "-o", "t.trace", "--", build("grows"), how, cwd=tmp_path, status=status)
    path = next(tmp_path.glob("t.*.trace")) if how == "f" else tmp_path / "t.trace"
    whole = [PAGES * number for number in range(1, 9)]
    steps = [grown(each) for _, each in maps_of(path)]
    assert whole in steps or whole[1:] in steps


def test_a_short_program_is_looked_at_in_the_end(tmp_path: Path) -> None:
    text = "b = bytearray(20_000_000); b[5000000:6000000] = bytes(1000000); import os; os._exit(0)"
    run("record", "-o", "t.trace", "--", sys.executable, "-S", "-c", text, cwd=tmp_path)
    (block,) = [each for each in maps_of(tmp_path / "t.trace")[-1][1].blocks if each.size > 2e7]
    assert block.counts[Page.WRITTEN] == -(-20_000_001 // 4096)
    run("record", "-o", "n.trace", "--", "true", cwd=tmp_path)
    assert maps_of(tmp_path / "n.trace")


def test_it_does_not_show_in_the_program(build: Build, tmp_path: Path) -> None:
    """Neither in its processor time nor among its children."""
    text = (
        "import os, resource, time; time.sleep(0.5)\n"
        "try: os.waitpid(-1, 0)\nexcept ChildProcessError: print('none')\n"
    )
    done = run("record", "-o", "t.trace", "--", sys.executable, "-c", text, cwd=tmp_path)
    assert done.stdout == "none\n"
    with Trace(tmp_path / "t.trace") as read:
        assert read.end
        assert read.end["cpu"] >= 0


def test_each_program_of_a_process_has_its_own(build: Build, tmp_path: Path) -> None:
    run("record", "-o", "t.trace", "--", "sh", "-c", f"exec {build('grows')}", cwd=tmp_path)
    with_blocks = [
        path.name for path in tmp_path.glob("*.trace") if any(grown(m) for _, m in maps_of(path))
    ]
    assert len(with_blocks) == 1
    (path,) = with_blocks
    with Trace(tmp_path / path) as trace:
        assert "grows" in trace.start["command"][0]


def test_maps_come_without_events_and_end_with_the_trace(build: Build, tmp_path: Path) -> None:
    run("record", "--off", "-o", "off.trace", "--", build("grows"), cwd=tmp_path)
    with Trace(tmp_path / "off.trace") as trace:
        assert not [*trace.events()]
        assert [grown(found) for _, found in trace.heap_maps()][-1]
    done = run("record", "--max-size", "1K", "-o", "t.trace", "--", build("grows"), cwd=tmp_path)
    assert "it has reached 1,024 bytes" in done.stderr
    steps = [grown(found) for _, found in maps_of(tmp_path / "t.trace")]
    assert len(steps) < 15
    assert not steps or len(steps[-1]) < 7


def test_who_goes_on_is_not_waited_for(build: Build, tmp_path: Path) -> None:
    """What is told a process at its end, of one that is left running."""
    with directory() as where:
        config = Config.parse(f"record={where}:stacks=8")
        recorder = Recorder(where, lambda pid: tmp_path / f"{pid}.trace")
        with subprocess.Popen([build("grows")], env=environment(config)) as process:
            recorder.pid = process.pid
            while not [*where.glob("*.control")]:
                time.sleep(0.01)
            for _ in range(10):
                recorder.look()
                time.sleep(0.02)
            (path,) = where.glob("*.control")
            with path.open("r+b") as file:
                held = ffi.from_buffer(mmap(file.fileno(), 0))
            control = ffi.cast("struct ring_control *", held)
            assert control.looking
            assert not control.looked
            recorder.end(0, 0.0)
            assert control.looked
            process.kill()


def test_a_table_that_was_overwritten_is_not_believed(build: Build, tmp_path: Path) -> None:
    done = run("record", "-o", "t.trace", "--", build("scribbles"), cwd=tmp_path)
    assert "Traceback" not in done.stderr
    with Trace(tmp_path / "t.trace") as trace:
        assert len([*trace.events()]) >= 100
        assert all(len(stack) <= 64 for stack in trace.stacks)


RUNS = st.lists(st.tuples(st.sampled_from(Page), st.integers(1, 1 << 30)), max_size=5)
BLOCKS = st.builds(
    lambda place, size, state, fill, stack, since, runs: Block(
        place << 12,
        size,
        place << 12,
        (place << 12) + 4096,
        state,
        fill,
        since,
        stack,
        tuple(sum(count for page, count in runs if page == kind) for kind in Page),
        b"".join(struct.pack("=II", *each) for each in runs),
    ),
    st.integers(1, 20),
    st.integers(0, 1 << 40),
    st.sampled_from(State),
    st.sampled_from(Fill),
    st.integers(0, 1 << 20),
    st.integers(0, 1 << 20),
    RUNS,
)
HEAPS = st.lists(BLOCKS, max_size=6, unique_by=lambda block: block.start)


@given(heaps=st.lists(HEAPS, max_size=6))
def test_any_maps_come_back(heaps: list[list[Block]]) -> None:
    maps = [
        Map(7, 4096, number, tuple(sorted(heap, key=lambda each: each.start)))
        for number, heap in enumerate(heaps)
    ]
    before: dict[int, bytes] = {}
    packed = [pack(number * 1000, each, before) for number, each in enumerate(maps)]
    known: dict[int, tuple[bytes, tuple[int, ...]]] = {}
    assert [unpack(each, 7, known) for each in packed] == [
        (number * 1000, each) for number, each in enumerate(maps)
    ]
    known.clear()
    for each, data in zip(maps, packed, strict=True):
        before = dict(known)
        assert totals(data, before).live == each.requested
        parse(data, known)
        assert known == before


@given(data=st.data())
def test_damage_is_an_error(trace: Path, data: st.DataObject) -> None:
    found = maps_of(trace)[-1][1]
    packed = bytearray(pack(1, found, {}))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = packed[: data.draw(st.integers(0, len(packed)))]
    for each in (bytes(packed), bytes(cut)):
        try:
            unpack(each, 1, {})
        except (ValueError, LookupError, struct.error):
            continue


def test_terminal_and_data(trace: Path, tmp_path: Path) -> None:
    first, second = run("map", trace, cwd=tmp_path).stdout.splitlines()[:2]
    assert re.fullmatch(r"at \d\.\d\d s of \d\.\d\d:", first)
    assert re.match(r"process \d+: \d+ blocks of 33,[\d,]+ bytes; ", second)
    early = json.loads(run("map", trace, "--at", "0.3", "--json", cwd=tmp_path).stdout)
    live = [each for each in early["blocks"] if each["size"] == SIZE]
    rows = run("map", trace, "--at", "0.3", "--csv", cwd=tmp_path).stdout.splitlines()
    assert len(rows) == 1 + len(early["blocks"])
    assert rows[0].endswith("since,untouched,read,written,swapped,guard,huge")
    assert 1 <= len(live) <= 4
    assert "the first map is of" in run("map", trace, "--at", "0", cwd=tmp_path, status=2).stderr
    for wrong in (("--watch", trace), ("--at", "1", str(os.getpid()))):
        assert "--watch is for processes" in run("map", *wrong, cwd=tmp_path, status=2).stderr
    report = json.loads(run("report", trace, "--json", cwd=tmp_path).stdout)
    heap = report["runs"][0]["heap"]
    assert max(each["written"] for each in heap) >= 36 * PAGES * 4096
    assert heap[-1]["live"] >= 7 * SIZE


def test_a_program_is_run_for_it(build: Build, tmp_path: Path) -> None:
    done = run("map", "--", "sh", "-c", "echo hello; exit 3", cwd=tmp_path, status=3)
    assert done.stdout.startswith("hello\nat ")
    for wrong in ("no-such-program", "\N{SUPERSCRIPT TWO}", str(tmp_path)):
        said = run("map", wrong, cwd=tmp_path, status=2).stderr
        assert f"{wrong}: there is no such process, trace or program" in said
    assert run("map", "--", "no-such", "program", cwd=tmp_path, status=127).stdout == ""
    (tmp_path / "broken.trace").write_text("hello")
    assert "no trace of patalloc's" in run("map", "broken.trace", cwd=tmp_path, status=2).stderr
    (tmp_path / "broken.trace").unlink()
    run("map", "-o", "m.png", "--", build("grows"), cwd=tmp_path)
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")
    assert [each.name for each in tmp_path.iterdir()] == ["m.png"]


def test_outputs_are_not_inputs(trace: Path, tmp_path: Path) -> None:
    (tmp_path / "t.trace").write_bytes(trace.read_bytes())
    for command in (
        ("export", "t.trace", "--as", "csv", "-o", "t.trace"),
        ("report", "t.trace", "-o", "t.trace"),
        ("synthesize", "t.trace", "-o", "./t.trace"),
    ):
        assert "that is what is read" in run(*command, cwd=tmp_path, status=2).stderr
        missing = (*command[:-1], "missing/x")
        said = run(*missing, cwd=tmp_path, status=2).stderr
        assert "--output missing/x: No such file or directory" in said
    assert (tmp_path / "t.trace").read_bytes() == trace.read_bytes()
    said = run("map", "t.trace", "-o", "t.jpg", cwd=tmp_path, status=2).stderr
    assert "a name that ends with one of .html, .svg, .png is wanted" in said


def test_page_with_a_slider(trace: Path, tmp_path: Path) -> None:
    run("map", trace, "-o", "map.html", cwd=tmp_path)
    text = (tmp_path / "map.html").read_text()
    assert not re.findall(r"(?:src|href)=[\"']?(?!#|data:)([^\"' >]+)", text)
    script = """<script>
    const noted = [], slider = byId("moment");
    const slide = (to) => { slider.value = to; slider.dispatchEvent(new Event("input")); };
    const orange = () => {
      const all = map.canvas.getContext("2d").getImageData(
        0, 0, map.canvas.width, map.canvas.height).data;
      let count = 0;
      for (let at = 0; at < all.length; at += 4)
        count += all[at] === 213 && all[at + 1] === 94 && all[at + 2] === 0;
      return Math.round(count / 49);
    };
    for (const to of [0, Number(slider.max)]) {
      slide(to);
      noted.push(byId("totals").rows[3].cells[1].textContent, String(orange() * map.each));
    }
    map.focus = starts[blocks.findLastIndex((block) => block.size === 4194304)];
    map.draw();
    noted.push(byId("told").textContent);
    map.zoom(4);
    const near = map.each;
    slide(Number(slider.max) - 1);
    noted.push(String(map.each === near));
    const out = document.createElement("pre");
    out.id = "noted"; out.textContent = noted.join("|");
    document.body.append(out);
    </script></html>"""
    (tmp_path / "played.html").write_text(text.replace("</html>", script))
    shown = chromium("--dump-dom", (tmp_path / "played.html").as_uri())
    found = re.search(r'<pre id="noted">(.*?)</pre>', shown, re.DOTALL)
    assert found
    early, few, late, many, told, as_near = found[1].replace("&lt;", "<").split("|")
    written = [int(text.replace(",", "")) // 4096 for text in (early, late)]
    assert written[0] < written[1]
    assert written[1] >= 35 * PAGES
    assert int(few) < int(many)
    assert abs(int(many) - written[1]) < written[1] / 5
    assert re.search(r"4,194,304 bytes, live, refpage, for \d\.\d\d s; .*make_block < main", told)
    assert as_near == "true"


def test_a_trace_without_maps(build: Build, tmp_path: Path) -> None:
    run("record", "-o", "t.trace", "--", build("grows"), cwd=tmp_path)
    data = (tmp_path / "t.trace").read_bytes()
    start = data.index(b"HMAP")
    (tmp_path / "t.trace").write_bytes(data[:start])
    said = run("map", "t.trace", cwd=tmp_path, status=2).stderr
    assert "t.trace: it has no maps" in said
    (tmp_path / "t.trace").write_bytes(data[: start + 30] + b"\xff" * 8 + data[start + 38 :])
    with pytest.raises(TraceError, match="damaged"):
        maps_of(tmp_path / "t.trace")
