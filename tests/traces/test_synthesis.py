"""Synthetic traces: other requests than those of a trace, and yet the same kind of them."""

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import ROOT, Build
from patalloc import OptionError
from patalloc._core import ffi, lib
from patalloc.lab.points import Point
from patalloc.traces import Kind, Trace
from patalloc.traces.file import Writer
from patalloc.traces.replaying import replay
from patalloc.traces.sums import Sums, of_trace
from patalloc.traces.synthesis import synthesize

PATALLOC = (sys.executable, "-m", "patalloc")
STORED = sorted((ROOT / "bench" / "traces").glob("*.trace"))
TAKES = (Kind.MALLOC, Kind.CALLOC, Kind.ALIGNED)
MALLOC, ALIGNED, FREE, RESIZE, RESIZED, WRITTEN = 1, 3, 4, 5, 6, 7  # enum ring_kind
Note = tuple[int, int, int, int, int]  # kind, address, thread, size, stack


def written(path: Path, notes: Sequence[Note]) -> Path:
    """A trace of what is noted, one event a millisecond."""
    writer = ffi.gc(lib.trace_writer_new(), lib.trace_writer_free)
    for number, (kind, address, thread, size, stack) in enumerate(notes):
        event = {"thread": thread, "size": size, "stack": stack, "time": 1000 * number}
        event["alignment"] = 6
        assert lib.trace_writer_note(writer, kind, address, ffi.new("struct trace_event *", event))
    with path.open("wb", buffering=0) as opened:
        file = Writer(opened, {"page_size": 4096, "command": ["program"]})
        numbers = ffi.new("uint32_t[100]")
        count = lib.trace_writer_stacks(writer, numbers, 100)
        file.stacks([(0x1000 + each,) for each in numbers[0:count]])
        if lib.trace_writer_pending(writer):
            chunk = ffi.new("uint8_t const **")
            size = lib.trace_writer_chunk(writer, chunk)
            file.events(ffi.buffer(chunk[0], size)[:])
    return path


def made(path: Path, new: Path, scale: float = 1.0, seed: int = 0) -> Path:
    with Trace(path) as trace:
        synthesize(trace, new, scale=scale, seed=seed)
    return new


def sums_of(path: Path) -> Sums:
    with Trace(path) as trace:
        return of_trace(trace)


def check_frees(path: Path) -> None:
    """Each is of a block that is live, and so is what is resized or written to."""
    live: set[int] = set()
    with Trace(path) as trace:
        for event in trace.events():
            if event.kind in TAKES:
                assert event.slot not in live
                live.add(event.slot)
            else:
                assert event.kind in (Kind.FREE, Kind.RESIZE, Kind.WRITTEN)
                assert event.slot in live
                if event.kind == Kind.FREE:
                    live.remove(event.slot)


NOTES = st.lists(
    st.tuples(
        st.sampled_from([MALLOC, ALIGNED, FREE, RESIZE, RESIZED, WRITTEN]),
        st.integers(1, 12),
        st.integers(0, 3),
        st.one_of(st.integers(0, 100), st.integers(1 << 20, 1 << 24)),
        st.integers(0, 5),
    ),
    max_size=200,
)


@settings(max_examples=100, deadline=None)
@given(notes=NOTES, scale=st.sampled_from([1e-6, 0.1, 0.5, 1.0, 1.5, 3.0]), seed=st.integers(0, 9))
def test_what_is_freed_is_live(
    tmp_path_factory: pytest.TempPathFactory, notes: list[Note], scale: float, seed: int
) -> None:
    """Whatever the trace is, those among it that could not be."""
    directory = tmp_path_factory.mktemp("synthesis")
    path = written(directory / "a.trace", notes)
    check_frees(made(path, directory / "b.trace", scale, seed))
    if scale == 1:
        assert sums_of(directory / "b.trace").bytes == sums_of(path).bytes


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
@pytest.mark.parametrize("scale", [0.25, 1.0, pytest.param(4.0, marks=pytest.mark.full)])
def test_it_is_the_same_kind(tmp_path: Path, path: Path, scale: float) -> None:
    """Of real programs: how many requests, the most live bytes, sizes, threads, the end."""
    old, new = sums_of(path), sums_of(made(path, tmp_path / "b.trace", scale))
    assert new.allocations == pytest.approx(scale * old.allocations, rel=0.02)
    assert new.peak_bytes == pytest.approx(scale * old.peak_bytes, rel=0.1)
    assert new.duration == pytest.approx(old.duration, rel=0.1)
    if scale >= 1:
        assert new.bytes == pytest.approx(scale * old.bytes, rel=0.1)
    sizes = Counter({each.start: each.allocations for each in new.sizes})
    for each in old.sizes:
        share = sizes[each.start] / new.allocations
        assert share == pytest.approx(each.allocations / old.allocations, abs=0.02)


def test_phases_stay(tmp_path: Path) -> None:
    """First many small blocks, which go, then few large ones; each thread its own."""
    notes = [(MALLOC, number, 1, 64, 1) for number in range(1, 4001)]
    notes += [(FREE, number, 1, 0, 0) for number in range(1, 4001)]
    for number in range(4001, 5001):
        notes += [(MALLOC, number, 2, 50000, 2), (FREE, number - 5, 2, 0, 0)]
    path = written(tmp_path / "a.trace", [each for each in notes if each[1]])
    for scale in (0.25, 1.0, 4.0):
        sums = sums_of(made(path, tmp_path / "b.trace", scale))
        half = sums.times[: len(sums.times) * 3 // 10]
        assert {each.stack: each.bytes // each.allocations for each in sums.sites}.keys() == {1, 2}
        assert sum(each.requested for each in half) < 4000 * 64 * scale
        with Trace(tmp_path / "b.trace") as trace:
            seen = {(event.thread, event.size) for event in trace.events() if event.kind in TAKES}
        assert {size for thread, size in seen if thread == 0} == {64}


def test_a_buffer_that_grows(tmp_path: Path) -> None:
    """One block that realloc makes larger all the time has no more than its share of requests."""
    notes = [(MALLOC, 1, 0, 16, 0)]
    for number in range(2, 10001):
        notes += [(RESIZE, 1, 0, 0, 0), (RESIZED, 1, 0, 16 * number, 0)]
    path = written(tmp_path / "a.trace", notes)
    for scale in (0.25, 1.0, 4.0):
        sums = sums_of(made(path, tmp_path / "b.trace", scale))
        assert sums.allocations == pytest.approx(10000 * scale, rel=0.05)
        assert sums.peak_bytes == pytest.approx(160000 * scale, rel=0.01)


def test_arrays_one_after_the_other(tmp_path: Path) -> None:
    """Each is all the memory there is: of a quarter there are a quarter, of a quarter each."""
    notes = []
    for number in range(1, 2001):
        notes += [(MALLOC, number, 0, 16 << 20, 0), (WRITTEN, number, 0, 8 | 64 << 32, 0)]
        notes += [(MALLOC, number + 5000, 0, 16, 0), (FREE, number + 5000, 0, 0, 0)]
        notes += [(FREE, number, 0, 0, 0)]
    path = written(tmp_path / "a.trace", notes)
    sums = sums_of(made(path, tmp_path / "b.trace", 0.25))
    assert sums.allocations == pytest.approx(1000, rel=0.02)
    assert sums.peak_bytes == pytest.approx(4 << 20, rel=0.1)
    with Trace(tmp_path / "b.trace") as trace:
        runs = {(event.first, event.size) for event in trace.events() if event.kind == Kind.WRITTEN}
    assert runs == {(2, 16)}


def test_threads_stacks_and_alignments(tmp_path: Path) -> None:
    """Which of them frees it, and from where, is part of a block's history."""
    notes = []
    for number in range(1, 1001):
        notes += [(ALIGNED, number, 1, 100, 3), (MALLOC, number + 5000, 2, 7, 4)]
        notes += [(FREE, number, 2, 0, 0)]
    path = written(tmp_path / "a.trace", notes)
    with Trace(made(path, tmp_path / "b.trace", 2.0, 5)) as trace:
        found = Counter(
            (event.kind, event.thread, event.size, trace.stacks[event.stack], event.alignment)
            for event in trace.events()
        )
        assert trace.start["synthetic"] == {"trace": "a.trace", "scale": 2.0, "seed": 5}
        assert trace.start["command"] == ["program"]
        assert trace.end
        assert trace.end["events"] == sum(found.values())
    assert found == {
        (Kind.ALIGNED, 0, 100, (0x1003,), 6): 2000,
        (Kind.MALLOC, 1, 7, (0x1004,), 0): 2000,
        (Kind.FREE, 1, 100, (), 0): 2000,
    }


def test_a_seed_has_one_trace(tmp_path: Path) -> None:
    notes = [(MALLOC, number, number % 3, number, 0) for number in range(1, 5001)]
    path = written(tmp_path / "a.trace", notes)
    for scale in (0.3, 1.0):
        one, same, other = (
            made(path, tmp_path / f"{number}.trace", scale, seed).read_bytes()
            for number, seed in enumerate((1, 1, 2))
        )
        assert one == same
        assert one != other


def test_command(build: Build, tmp_path: Path) -> None:
    path, new = tmp_path / "a.trace", tmp_path / "b.trace"
    program = [str(build("requests")), "3", "1000", "exit"]
    subprocess.run(
        [*PATALLOC, "record", "-o", str(path), "--", *program], check=True, capture_output=True
    )

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [*PATALLOC, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    done = run("synthesize", "a.trace", "-o", "b.trace", "--scale", "2", "--seed", "3")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    check_frees(new)
    with Trace(path) as old, Trace(new) as trace:
        assert trace.modules == old.modules
        assert {*trace.stacks} <= {*old.stacks}
        (replayed,) = replay(trace, [Point.parse("glibc")], runs=1, timeout=100)
    assert replayed.peak > 0
    assert run("replay", "b.trace", "glibc", "--runs", "1").returncode == 0
    assert "synthetic: as a.trace, scale 2, seed 3" in run("report", "b.trace").stdout


@pytest.mark.parametrize("scale", ["0", "-1", "1e-320", "nan", "inf", "1001"])
def test_scales_that_are_none(tmp_path: Path, scale: str) -> None:
    path = written(tmp_path / "a.trace", [(MALLOC, 1, 0, 16, 0)])
    with Trace(path) as trace, pytest.raises(OptionError, match="must be from"):
        synthesize(trace, tmp_path / "b.trace", scale=float(scale))
    assert not (tmp_path / "b.trace").exists()


def test_errors_are_one_line(tmp_path: Path) -> None:
    path = written(tmp_path / "a.trace", [(MALLOC, 1, 0, 16, 0)] * 100)
    (tmp_path / "cut.trace").write_bytes(path.read_bytes()[:-1])
    (tmp_path / "later.trace").write_bytes(b"patalloc trace 2\n")
    (tmp_path / "other.trace").write_bytes(b"something else\n")
    for arguments, said in (
        (["a.trace", "--scale", "0"], "scale 0: must be from 0.000001 to 1,000"),
        (["cut.trace"], "cut.trace: cut within the chunk"),
        (["later.trace"], "later.trace: a trace of version 2; this patalloc reads 1"),
        (["other.trace"], "other.trace: no trace of patalloc's"),
    ):
        command = [*PATALLOC, "synthesize", *arguments, "-o", "b.trace"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert said in done.stderr
        assert not (tmp_path / "b.trace").exists()
