"""Maps of heaps: what each page is, of a program that knows it; as text, data, picture and page."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Build, chromium
from patalloc import Config
from patalloc.preload import environment

PAGES, PAGE = 1024, 4096


@pytest.fixture(params=["", "on_free=quarantine", "without=guard_regions"])
def program(build: Build, request: pytest.FixtureRequest) -> Iterator[tuple[int, list[int], str]]:
    """Its number, the addresses of its blocks, and its options."""
    process = subprocess.Popen(
        [build("mapped")],
        env=environment(Config.parse(request.param)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    addresses = [int(word, 16) for word in process.stdout.readline().split()]
    yield process.pid, addresses, request.param
    process.communicate("\n", timeout=30)
    assert process.returncode == 0


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "patalloc", "map", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_each_page(program: tuple[int, list[int], str]) -> None:
    pid, (written, read, untouched, freed), options = program
    found = json.loads(run(pid, "--json").stdout)
    assert found["version"] == 1
    blocks = {int(block["address"], 16): block for block in found["blocks"]}
    assert {written, read, untouched} <= blocks.keys()
    for address in (written, read, untouched):
        assert blocks[address]["state"] == "LIVE"
        assert blocks[address]["size"] == PAGES * PAGE
        assert sum(count for _, count in blocks[address]["pages"]) == PAGES

    def pages(address: int, kind: int) -> list[int]:
        at, kinds = 0, []
        for page, count in blocks[address]["pages"]:
            if page == kind:
                kinds += range(at, at + count)
            at += count
        return kinds

    assert pages(written, 2) == [*range(100, 150)]
    assert not pages(read, 2)
    assert 500 in pages(read, 1)
    assert len(pages(read, 1)) <= 16  # the kernel's fault-around (vm/fault-around-bytes)
    assert pages(untouched, 0) == [*range(PAGES)]
    assert blocks[freed]["state"] == ("QUARANTINED" if "quarantine" in options else "KEPT")


def test_text_picture_and_page(program: tuple[int, list[int], str], tmp_path: Path) -> None:
    pid, (written, *_), _ = program
    lines = run(pid).stdout.splitlines()
    assert re.match(
        rf"process {pid}: \d+ blocks of [\d,]+ bytes in \d+ spans; untouched [\d,]+, ", lines[0]
    )
    (line,) = [line for line in lines if line.startswith(f"{written:#x} ")]
    assert re.search(r"4,194,304 live .*[░▒▓█]", line)
    assert run(pid, "-o", tmp_path / "map.svg").returncode == 0
    picture = (tmp_path / "map.svg").read_text()
    assert picture.startswith("<svg ")
    assert "#d55e00" in picture
    assert run(pid, "-o", tmp_path / "map.html").returncode == 0
    text = (tmp_path / "map.html").read_text()
    assert not re.findall(r"(?:src|href)=[\"']?(?!#|data:)([^\"' >]+)", text)
    script = """<script>
    const press = (key) => document.getElementById("map").dispatchEvent(
      new KeyboardEvent("keydown", { key, cancelable: true }));
    const noted = [], told = () => document.getElementById("told").textContent;
    const number = blocks.findIndex((block) => block.address === "ADDRESS");
    map.focus = starts[number] + 120;
    for (let i = 0; i < 12; i++) press("+");
    noted.push(told());
    const tile = Math.floor((map.focus - map.first) / map.each);
    const data = map.canvas.getContext("2d").getImageData(
      (tile % map.wide) * 8 + 3, Math.floor(tile / map.wide) * 8 + 3, 1, 1).data;
    noted.push([...data].join());
    press("ArrowRight"); noted.push(told());
    press("Escape"); noted.push(String(map.first));
    document.getElementById("nearer").click(); noted.push(told());
    const out = document.createElement("pre");
    out.id = "noted"; out.textContent = noted.join("|");
    document.body.append(out);
    </script></html>""".replace("ADDRESS", f"{written:#x}")
    (tmp_path / "played.html").write_text(text.replace("</html>", script))
    shown = chromium("--dump-dom", (tmp_path / "played.html").as_uri())
    found = re.search(r'<pre id="noted">(.*?)</pre>', shown, re.DOTALL)
    assert found
    noted = found[1].split("|")
    assert noted[0].startswith(f"{written:#x}: 4,194,304 bytes, live, refpage")
    assert noted[0].endswith(f"at byte {120 * PAGE:,}: written; a tile is 1 pages")
    assert noted[1] == "213,94,0,255"
    assert f"at byte {121 * PAGE:,}: written" in noted[2]
    assert noted[3] == "0"


def test_huge_pages_and_spans(tmp_path: Path) -> None:
    """As /proc/PID/smaps has them."""
    text = (
        "import mmap, numpy, sys\n"
        "zeros = numpy.zeros(8 << 20); zeros[: 3 << 20] = 1\n"
        "empty = numpy.empty(8 << 20); empty[:100000] = 1\n"
        "print(zeros.ctypes.data, empty.ctypes.data, flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", text],
        env=environment(Config()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        zeros, empty = map(int, process.stdout.readline().split())
        smaps = Path(f"/proc/{process.pid}/smaps").read_text()
        found = json.loads(run(process.pid, "--json").stdout)
        process.communicate("")
    spans: dict[int, int] = {}  # where each starts, and bytes in huge pages
    for line in smaps.splitlines():
        if head := re.match(r"([0-9a-f]+)-[0-9a-f]+ ", line):
            start = int(head[1], 16)
        elif line.startswith("AnonHugePages:"):
            spans[start] = int(line.split()[1]) << 10
    known = {int(start, 16): int(end, 16) for start, end in found["spans"]}
    assert known.keys() <= spans.keys()
    for address in (zeros, empty):
        assert any(start <= address < end for start, end in known.items())
    huge = sum(
        count * PAGE for block in found["blocks"] for page, count in block["pages"] if page == 5
    )
    assert huge == sum(spans[start] for start in known)


def test_watch_ends_with_the_program(build: Build) -> None:
    process = subprocess.Popen(
        [build("mapped")],
        env=environment(Config.parse("")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    process.stdout.readline()
    command = [sys.executable, "-m", "patalloc", "map", str(process.pid), "--watch"]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        watching.wait(2.5)
    assert len([*Path(f"/proc/{watching.pid}/fd").iterdir()]) < 10
    process.communicate("\n")
    shown, _ = watching.communicate(timeout=30)
    assert watching.returncode == 0
    assert f"process {process.pid}: " in shown


def test_what_has_no_map() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        for pid, said in (
            (1 << 22, "there is no process 4194304"),
            (other.pid, "does not run under patalloc"),
        ):
            done = run(pid)
            assert done.returncode == 2
            assert said in done.stderr
        other.kill()
