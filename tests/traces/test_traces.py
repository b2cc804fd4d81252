"""Traces: what is recorded is what was asked for, and comes back as it was."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Build
from patalloc import TraceError
from patalloc._core import ffi, lib
from patalloc.traces import Event, Kind, Trace
from patalloc.traces.file import Writer
from patalloc.traces.sums import of_trace

PATALLOC = (sys.executable, "-m", "patalloc")


def record(
    *arguments: str | Path, cwd: Path, timeout: float = 100
) -> subprocess.CompletedProcess[str]:
    command = [*PATALLOC, "record", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout)


def kinds(path: Path) -> Counter[str]:
    with Trace(path) as trace:
        return Counter(event.kind.name for event in trace.events())


# A model of malloc: what it is asked for, and how a trace has that.

_RING = {kind: number for number, kind in enumerate(Kind, 1)}


class Model:
    """Requests with addresses that it chooses, and the events that a trace is to have of them."""

    def __init__(self) -> None:
        self.writer = ffi.gc(lib.trace_writer_new(), lib.trace_writer_free)
        self.expected: list[Event] = []
        self.live: dict[int, tuple[int, int]] = {}  # address: slot, size
        self.free: list[int] = []
        self.slots = 0
        self.threads: dict[int, int] = {}
        self.stacks: dict[int, int] = {0: 0}
        self.time = 0

    def note(
        self, kind: int, address: int, thread: int, size: int = 0, stack: int = 0, align: int = 0
    ) -> None:
        event = {"thread": thread, "time": self.time, "size": size, "stack": stack}
        event["alignment"] = align
        assert lib.trace_writer_note(
            self.writer, kind, address, ffi.new("struct trace_event *", event)
        )

    def expect(
        self,
        kind: Kind,
        thread: int,
        size: int,
        slot: int,
        stack: int,
        align: int = 0,
        first: int = 0,
    ) -> None:
        number = self.threads.setdefault(thread, len(self.threads))
        self.expected.append(Event(kind, number, self.time, size, slot, stack, align, first))

    def slot(self) -> int:
        if self.free:
            return self.free.pop()
        self.slots += 1
        return self.slots - 1

    def take(
        self, kind: Kind, address: int, thread: int, size: int, stack: int, align: int
    ) -> None:
        align = align if kind == Kind.ALIGNED else 0
        self.note(kind, address, thread, size, stack, align)
        self.threads.setdefault(thread, len(self.threads))
        if address in self.live:
            self.drop(Kind.MISSED, address, thread)
        slot = self.slot()
        self.live[address] = (slot, size)
        number = self.stacks.setdefault(stack, len(self.stacks))
        self.expect(kind, thread, size, slot, number, align)

    def drop(self, kind: Kind, address: int, thread: int) -> None:
        slot, size = self.live.pop(address)
        self.free.append(slot)
        self.expect(kind, thread, size, slot, 0)

    def give(self, address: int, thread: int) -> None:
        self.note(Kind.FREE, address, thread)
        if address in self.live:
            self.drop(Kind.FREE, address, thread)
        else:
            self.expect(Kind.STRANGE, thread, 0, 0, 0)

    def resize(self, old: int, new: int, thread: int, size: int, stack: int) -> None:
        resize, resized = 5, 6  # enum ring_kind
        self.note(resize, old, thread, size)
        self.note(resized, new, thread, size, stack)
        self.threads.setdefault(thread, len(self.threads))
        known = self.live.pop(old, None)
        if not new and size:
            if known:
                self.live[old] = known
        elif not new and known:
            self.live[old] = known
            self.drop(Kind.FREE, old, thread)
        elif known is None:
            self.expect(Kind.STRANGE, thread, 0, 0, 0)
            if new:
                if new in self.live:
                    self.drop(Kind.MISSED, new, thread)
                slot = self.slot()
                self.live[new] = (slot, size)
                number = self.stacks.setdefault(stack, len(self.stacks))
                self.expect(Kind.MALLOC, thread, size, slot, number)
        else:
            if new in self.live:
                self.drop(Kind.MISSED, new, thread)
            self.live[new] = (known[0], size)
            number = self.stacks.setdefault(stack, len(self.stacks))
            self.expect(Kind.RESIZE, thread, size, known[0], number)

    def wrote(self, address: int, thread: int, first: int, pages: int) -> None:
        written = 7  # enum ring_kind
        self.note(written, address, thread, first | pages << 32)
        self.threads.setdefault(thread, len(self.threads))
        if address in self.live:
            self.expect(Kind.WRITTEN, thread, pages, self.live[address][0], 0, 0, first)


ADDRESSES = st.integers(1, 30).map(lambda number: number << 12)
THREADS = st.integers(1, 4) | st.integers(1, 2**32 - 1)
SIZES = st.integers(0, 300) | st.integers(0, 2**47)
STACKS = st.integers(0, 5) | st.integers(0, 2**24 - 1)
TAKES = st.tuples(
    st.just("take"), st.sampled_from([Kind.MALLOC, Kind.CALLOC, Kind.ALIGNED]),
    ADDRESSES, THREADS, SIZES, STACKS, st.integers(0, 31),
)  # fmt: skip
STEPS = (
    TAKES
    | st.tuples(st.just("give"), ADDRESSES, THREADS)
    | st.tuples(st.just("resize"), ADDRESSES, ADDRESSES | st.just(0), THREADS, SIZES, STACKS)
    | st.tuples(st.just("wrote"), ADDRESSES, THREADS, st.integers(0, 2**31), st.integers(0, 2**31))
    | st.tuples(st.just("wait"), st.integers(0, 2**40))
    | st.tuples(st.just("chunk"))
)


def write_chunk(model: Model, file: Writer) -> None:
    chunk = ffi.new("uint8_t const **")
    size = lib.trace_writer_chunk(model.writer, chunk)
    assert size
    file.events(ffi.buffer(chunk[0], size)[:])


@settings(max_examples=300, deadline=None)
@given(steps=st.lists(STEPS, max_size=60))
def test_any_sequence_of_requests_comes_back(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[object, ...]]
) -> None:
    model = Model()
    path = tmp_path_factory.mktemp("traces") / "a.trace"
    file = Writer(path.open("wb", buffering=0), {"page_size": 4096})
    for what, *arguments in steps:
        if what == "wait":
            model.time += int(str(arguments[0]))
        elif what == "chunk":
            write_chunk(model, file)
        else:
            getattr(model, str(what))(*arguments)
    write_chunk(model, file)
    file.close()
    with Trace(path) as trace:
        assert [*trace.events()] == model.expected
        last = trace.chunks[-1][0]
        assert last.live_blocks == len(model.live)
        assert last.live_bytes == sum(size for _, size in model.live.values()) % 2**64
        assert sum(summary.events for summary, _ in trace.chunks) == len(model.expected)
        sums = of_trace(trace)
        assert sums.allocations == sum(
            event.kind in (Kind.MALLOC, Kind.CALLOC, Kind.ALIGNED, Kind.RESIZE)
            for event in model.expected
        )
        assert sum(site.left_blocks for site in sums.sites) == len(model.live)


# Recording


@pytest.mark.parametrize("stacks", ["0", "16"])
@pytest.mark.parametrize("name", ["workload 2 300 5", "family", "fork", "early", "cancel"])
def test_programs_do_what_they_do_else(
    build: Build, tmp_path: Path, name: str, stacks: str
) -> None:
    program, *arguments = name.split()
    command = [*PATALLOC, "record", "-o", "%p.trace", "--stacks", stacks, "--"]
    command += [str(build(program)), *arguments]
    env = dict(os.environ, PATALLOC_OPTIONS="small_fill=yes")
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    others = [line for line in done.stderr.splitlines() if not line.startswith("patalloc: ")]
    assert (done.returncode, done.stdout, others) == (0, "", [])
    for path in tmp_path.glob("*.trace"):
        kinds(path)


@pytest.mark.parametrize("stacks", ["0", "16"])
def test_no_descriptor_of_the_programs_is_used(build: Build, tmp_path: Path, stacks: str) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_text("this is not ours")
    done = record("--stacks", stacks, "--", build("descriptors"), foreign, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def requests(build: Build) -> Path:
    return build("requests")


@pytest.mark.parametrize("ending", ["exit", "_exit", "kill"])
@pytest.mark.parametrize("threads", [1, 4])
def test_all_is_recorded_however_a_process_ends(
    requests: Path, tmp_path: Path, threads: int, ending: str
) -> None:
    done = record(
        "-o",
        "a.trace",
        "--stacks",
        "8",
        "--",
        requests,
        str(threads),
        "20000",
        ending,
        cwd=tmp_path,
    )
    assert done.returncode == {"exit": 0, "_exit": 3, "kill": -signal.SIGKILL}[ending]
    said = dict(
        zip(
            ("MALLOC", "CALLOC", "ALIGNED", "FREE", "RESIZE"),
            map(int, done.stdout.split()),
            strict=True,
        )
    )
    found = kinds(tmp_path / "a.trace")
    assert not found["MISSED"]
    assert not found["STRANGE"]
    for kind in ("ALIGNED", "FREE", "RESIZE"):
        assert found[kind] == said[kind]
    assert said["MALLOC"] <= found["MALLOC"] <= said["MALLOC"] + 2  # standard output's buffer
    assert said["CALLOC"] <= found["CALLOC"] <= said["CALLOC"] + threads + 1  # of threads
    with Trace(tmp_path / "a.trace") as trace:
        assert trace.end is not None
        assert trace.end["status"] == done.returncode
        assert trace.end["reached_exit"] == (ending != "kill")
        assert trace.start["command"] == [str(requests), str(threads), "20000", ending]


def test_children_have_traces_of_their_own(requests: Path, tmp_path: Path) -> None:
    done = record("-o", "a.trace", "--", requests, "1", "100", "fork", cwd=tmp_path)
    assert done.returncode == 0
    others = sorted(tmp_path.glob("a.*.trace"))
    assert len(others) == 1
    assert kinds(others[0])["MALLOC"] == 100
    with Trace(others[0]) as trace, Trace(tmp_path / "a.trace") as parent:
        assert trace.start["parent"] == parent.start["process"]


def test_programs_that_shells_and_make_start(requests: Path, tmp_path: Path) -> None:
    script = f"{shlex.quote(str(requests))} 1 10 exit; exec {shlex.quote(str(requests))} 2 20 exit"
    assert record("-o", "%p.trace", "--", "sh", "-c", script, cwd=tmp_path).returncode == 0
    commands = []
    for path in tmp_path.glob("*.trace"):
        with Trace(path) as trace:
            commands.append(trace.start["command"][1:3])
            assert path.name.startswith(str(trace.start["process"]))
    assert ["1", "10"] in commands
    assert ["2", "20"] in commands
    rules = "\n".join(f"{name}:\n\t{requests} 1 1{name} exit" for name in ("1", "2", "3", "4"))
    (tmp_path / "Makefile").write_text(f"all: 1 2 3 4\n{rules}\n")
    done = record("-o", "make.trace", "--", "make", "-j2", cwd=tmp_path)
    assert done.returncode == 0
    found = []
    for path in tmp_path.glob("make*.trace"):
        with Trace(path) as trace:
            found += trace.start["command"][2:3]
    assert sorted(found) == ["11", "12", "13", "14"]


def test_recording_is_switched_on_and_off(tmp_path: Path) -> None:
    script = """if True:
        import patalloc
        blocks = [bytearray(100_000) for _ in range(10)]
        assert not patalloc.recording(on=True)
        more = [bytearray(200_000) for _ in range(10)]
        assert patalloc.recording(on=False)
        last = [bytearray(300_000) for _ in range(10)]
        """
    done = record("-o", "a.trace", "--off", "--", sys.executable, "-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Trace(tmp_path / "a.trace") as trace:
        sizes = Counter(event.size for event in trace.events() if event.size > 90_000)
    assert {size // 100_000: count for size, count in sizes.items()} == {2: 10}


def test_a_forked_child_is_switched_on_before_its_first_request(
    build: Build, tmp_path: Path
) -> None:
    done = record("-o", "a.trace", "--off", "--", build("switched"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (child,) = tmp_path.glob("a.*.trace")
    with Trace(child) as trace:
        assert [event.size for event in trace.events()] == [300_001, 300_001]
    with Trace(tmp_path / "a.trace") as trace:
        assert not [*trace.events()]


def test_times_and_lives_are_of_what_happened(build: Build, tmp_path: Path) -> None:
    """Of a program that does nothing most of the time; as the page has it, too."""
    done = record("-o", "a.trace", "--", build("waits"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Trace(tmp_path / "a.trace") as trace:
        events = [event for event in trace.events() if event.size == 100_000]
        sums = of_trace(trace, moments=50)
        middle = of_trace(trace, moment=events[1].time - 20_000)
    assert [event.kind for event in events] == [Kind.MALLOC, Kind.FREE] * 4
    times = [event.time for event in events]
    assert all(later - earlier > 40_000 for earlier, later in pairwise(times))
    assert sum(life.blocks for life in sums.lives if life.start >= 32_000) == 4
    assert sum(site.then_bytes for site in middle.sites) >= 100_000
    for time, live in sums.moments:
        expected = sum(a <= time < b for a, b in zip(times[::2], times[1::2], strict=True))
        assert sum(live.values()) // 100_000 == expected, time


def test_a_trace_ends_where_it_is_large(requests: Path, tmp_path: Path) -> None:
    done = record(
        "-o", "a.trace", "--max-size", "100K", "--", requests, "2", "300000", "exit", cwd=tmp_path
    )
    assert done.returncode == 0
    assert "it has reached 102,400 bytes, and ends there" in done.stderr
    with Trace(tmp_path / "a.trace") as trace:
        assert trace.end is not None
        assert trace.end["size_limit"]
        assert sum(summary.events for summary, _ in trace.chunks) == trace.end["events"]


def test_a_full_disk_ends_the_trace_and_not_the_program(requests: Path, tmp_path: Path) -> None:
    done = record("-o", "/dev/full", "--", requests, "2", "3000", "_exit", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout
    assert "it ends where it could not be written: No space left on device" in done.stderr


def test_many_processes_one_after_the_other(tmp_path: Path) -> None:
    """More than there are descriptors for."""
    loop = f"for i in {' '.join(map(str, range(60)))}; do ls; done"
    recording = shlex.join([*PATALLOC, "record", "-o", "%p.trace", "--", "sh", "-c", loop])
    script = f"ulimit -n 64; exec {recording}"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len([*tmp_path.glob("*.trace")]) == 61


def test_what_can_not_be_recorded(tmp_path: Path) -> None:
    source = tmp_path / "static.c"
    source.write_text("int main(void) { return 0; }")
    subprocess.run(["cc", "-static", source, "-o", tmp_path / "static"], check=True)
    for arguments, said in (
        (
            ["--", tmp_path / "static"],
            "is static: no library can be preloaded: it can't be recorded",
        ),
        (["-o", "nowhere/a.trace", "--", "true"], "nowhere/a.trace: No such file or directory"),
        (["--max-size", "5X", "--", "true"], "5X: a number of bytes is wanted"),
    ):
        done = record(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert said in done.stderr
    assert record("--", "nonesuch", cwd=tmp_path).returncode == 127


def test_what_pythons_pool_hides_is_told(tmp_path: Path) -> None:
    script = "found = [str(number) * 3 for number in range(20000)]"
    done = record("-o", "a.trace", "--", sys.executable, "-c", script, cwd=tmp_path)
    assert "not seen: what CPython's own pool has" in done.stderr
    few = sum(kinds(tmp_path / "a.trace").values())
    done = record("--python", "-o", "a.trace", "--", sys.executable, "-c", script, cwd=tmp_path)
    assert "not seen" not in done.stderr
    assert sum(kinds(tmp_path / "a.trace").values()) > few + 20000


def test_a_child_tells_what_it_has_written(build: Build, tmp_path: Path) -> None:
    source = tmp_path / "child.c"
    source.write_text("""
    #include <stdlib.h>
    #include <unistd.h>
    #include <sys/wait.h>
    int main(void) {
      if (!fork()) {
        char *block = malloc(4 << 20);
        block[4096 * 5] = 1;
        exit(0);
      }
      wait(NULL);
      return 0;
    }""")
    subprocess.run(["cc", source, "-o", tmp_path / "child"], check=True)
    record("-o", "a.trace", "--", tmp_path / "child", cwd=tmp_path)
    (path,) = tmp_path.glob("a.*.trace")
    with Trace(path) as trace:
        written = [event for event in trace.events() if event.kind == Kind.WRITTEN]
        assert trace.end is not None
        assert trace.end["reached_exit"]
    assert [(event.first, event.size) for event in written] == [(5, 1)]


def test_an_inaccessible_page_ends_nothing(build: Build, tmp_path: Path) -> None:
    source = tmp_path / "shut.c"
    source.write_text("""
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    int main(void) {
      char *block = aligned_alloc(4096, 4 << 20);
      memset(block, 1, 1 << 20);
      mprotect(block + 4096 * 50, 4096, PROT_NONE);
      free(block);
      return 0;
    }""")
    subprocess.run(["cc", source, "-o", tmp_path / "shut"], check=True)
    done = record("-o", "a.trace", "--", tmp_path / "shut", cwd=tmp_path)
    assert done.returncode == 0
    assert kinds(tmp_path / "a.trace")["FREE"] >= 1


def test_what_was_stopped_is_not_switched_on_again(tmp_path: Path) -> None:
    script = """if True:
        import patalloc
        for _ in range(200):
            blocks = [bytearray(1000 + i * 7 % 9000) for i in range(1000)]
            patalloc.recording(on=True)
        """
    done = record(
        "-o", "a.trace", "--max-size", "20K", "--", sys.executable, "-c", script, cwd=tmp_path
    )
    assert done.returncode == 0
    assert (tmp_path / "a.trace").stat().st_size < 120_000


def test_what_goes_on_in_the_background_is_told(requests: Path, tmp_path: Path) -> None:
    script = f"(sleep 0.2; {requests} 1 10 exit; sleep 2) & sleep 0.1"
    done = record("-o", "%p.trace", "--", "sh", "-c", script, cwd=tmp_path)
    assert done.returncode == 0
    assert "it ends where the program did that was run; this one went on" in done.stderr


@pytest.mark.parametrize("feature", ["", "pagemap_scan"])
def test_written_pages(build: Build, tmp_path: Path, feature: str) -> None:
    options = f"without={feature}" if feature else ""
    env = dict(os.environ, PATALLOC_OPTIONS=options)
    command = [*PATALLOC, "record", "-o", "a.trace", "--", str(build("pages"))]
    subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True)
    written: dict[int, list[tuple[int, int]]] = {}
    runs, blocks = [], 0
    with Trace(tmp_path / "a.trace") as trace:
        for event in trace.events():
            if event.kind in (Kind.MALLOC, Kind.CALLOC) and event.size >= 1 << 20:
                blocks += 1
                written[event.slot] = []
            elif event.kind == Kind.WRITTEN:
                written[event.slot].append((event.first, event.size))
            elif event.kind == Kind.FREE and event.slot in written:
                runs.append(written.pop(event.slot))
        runs += written.values()
        sums = of_trace(trace)
    assert blocks == 5
    assert runs == [[(3, 7), (500, 1)], [(0, 1)], [(0, 0)], [(7, 2)], [(1000, 24)]]
    assert sum(site.seen_pages for site in sums.sites) == 5 * 1024
    assert sum(site.written_pages for site in sums.sites) == 8 + 1 + 0 + 2 + 24


def test_call_stacks_lead_to_lines(requests: Path, tmp_path: Path) -> None:
    from patalloc.traces.frames import Frames

    record("-o", "a.trace", "--", requests, "2", "1000", "exit", cwd=tmp_path)
    with Trace(tmp_path / "a.trace") as trace:
        sums, frames = of_trace(trace), Frames(trace)
        lines = {
            (location.function, location.line)
            for site in sums.sites
            for location in [next(frames.of(site.stack), None)]
            if location and location.file and location.file.endswith("requests.c")
        }
    source = (Path(__file__).parent.parent / "c" / "requests.c").read_text().splitlines()
    calls = {
        number
        for number, line in enumerate(source, 1)
        if re.search(r"= (\w*alloc|memalign)\(", line) and "shared[0]" not in line
    }
    assert {line for _, line in lines} == calls
    assert {function for function, _ in lines} == {"work"}


# Files


@pytest.fixture(scope="module")
def small(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("small")
    assert (
        record("-o", "a.trace", "--", build("requests"), "2", "300", "exit", cwd=where).returncode
        == 0
    )
    return where / "a.trace"


def read_as_far_as_it_goes(path: Path) -> list[Event] | None:
    """None where it is told that it can't be read."""
    try:
        with Trace(path) as trace:
            of_trace(trace)
            return [*trace.events()]
    except TraceError:
        return None


def complaint(*arguments: str | Path) -> str:
    done = subprocess.run([*PATALLOC, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


def test_files_that_are_no_traces(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "b.trace"
    whole = small.read_bytes()
    for content, said in (
        (b"", "no trace of patalloc's"),
        (b"\x7fELF" + bytes(100), "no trace of patalloc's"),
        (b"patalloc trace 99\n" + whole[20:], "a trace of version 99; this patalloc reads 1"),
        (whole[:-3], "cut within the chunk at byte"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "damaged at byte"),
    ):
        path.write_bytes(content)
        assert said in complaint("export", path, "--as", "csv")


def test_every_cut_is_noticed_or_harmless(small: Path, tmp_path: Path) -> None:
    whole, path = small.read_bytes(), tmp_path / "b.trace"
    with Trace(small) as trace:
        events = [*trace.events()]
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        found = read_as_far_as_it_goes(path)
        assert found is None or found == events[: len(found)]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_is_noticed(
    small: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(small.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "b.trace"
    path.write_bytes(content)
    found = read_as_far_as_it_goes(path)
    with Trace(small) as trace:
        assert found is None or found == [*trace.events()]


def test_an_event_that_can_not_be_is_noticed(tmp_path: Path) -> None:
    """Where the checksum is right."""
    model = Model()
    model.take(Kind.MALLOC, 4096, 1, 10, 0, 0)
    chunk = ffi.new("uint8_t const **")
    size = lib.trace_writer_chunk(model.writer, chunk)
    good = bytes(ffi.buffer(chunk[0], size))
    for place in range(len(good)):
        for value in (0, 1, 4, 5, 0x7F, 0xFF):
            path = tmp_path / "b.trace"
            file = Writer(path.open("wb", buffering=0), {"page_size": 4096})
            file.events(good[:place] + bytes([value]) + good[place + 1 :])
            file.close()
            read_as_far_as_it_goes(path)


# Other programs


def test_arrow(small: Path, tmp_path: Path) -> None:
    import pyarrow

    output = tmp_path / "t.arrow"
    command = [*PATALLOC, "export", str(small), "--as", "arrow", "-o", str(output)]
    subprocess.run(command, check=True)
    with pyarrow.memory_map(str(output)) as file:
        rows = pyarrow.ipc.open_file(file).read_all().to_pylist()
    with Trace(small) as trace:
        for row, event in zip(rows, trace.events(), strict=True):
            assert row.pop("kind") == event.kind.name.lower()
            assert row.pop("first_page") == event.first
            assert all(getattr(event, name) == value for name, value in row.items())
    (tmp_path / "pyarrow.py").write_text("raise ModuleNotFoundError(name='pyarrow')")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 2
    assert "pyarrow" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_exports(small: Path, tmp_path: Path) -> None:
    def export(*arguments: str) -> str:
        command = [*PATALLOC, "export", str(small), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with Trace(small) as trace:
        events, sums = [*trace.events()], of_trace(trace)
    rows = export("--as", "csv").splitlines()
    assert len(rows) == len(events) + 1
    assert rows[0].startswith("time,thread,kind,size,slot,stack")
    for by, total in (("requested", sums.bytes), ("requests", sums.allocations)):
        lines = export("--as", "folded", "--by", by).splitlines()
        assert sum(int(line.rpartition(" ")[2]) for line in lines) == total
        profile = json.loads(export("--as", "speedscope", "--by", by))
        assert profile["profiles"][0]["endValue"] == total
        assert any(frame["name"] == "work" for frame in profile["shared"]["frames"])
    lines = export("--as", "heaptrack").splitlines()
    assert sum(line.startswith("+") for line in lines) == sums.allocations
    live = sum(line.startswith("+") for line in lines) - sum(line.startswith("-") for line in lines)
    assert live == sum(site.left_blocks for site in sums.sites)
