"""Replays: the same requests again, in the same order where that matters."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Build
from patalloc._core import ffi, lib
from patalloc.lab.launcher import Program, launch
from patalloc.lab.points import Point, PointError
from patalloc.traces import Trace
from patalloc.traces.file import Writer
from patalloc.traces.replaying import replay, write_plan

PATALLOC = (sys.executable, "-m", "patalloc")


def recorded(directory: Path, *command: str | Path) -> Path:
    path = directory / "a.trace"
    arguments = [*PATALLOC, "record", "-o", str(path), "--stacks", "0", "--", *map(str, command)]
    subprocess.run(arguments, check=True, capture_output=True)
    return path


def installed(*names: str) -> list[Point]:
    found = []
    for name in names:
        try:
            found.append(Point.parse(name))
        except PointError:
            continue
    return found


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.full)])
def test_threads_wait_for_each_other_where_they_must(
    build: Build, tmp_path: Path, count: int
) -> None:
    """A free that comes before its malloc is a failure of the replay, and so is a hang."""
    path = recorded(tmp_path, build("requests"), "4", "3000", "exit")
    with Trace(path) as trace:
        (done,) = replay(trace, [Point.parse("glibc")], runs=count, timeout=30)
    assert done.runs == count


def test_a_thread_that_is_far_behind_and_waited_for(tmp_path: Path) -> None:
    """Two threads that take turns with each other's blocks, long after they were made."""
    writer = ffi.gc(lib.trace_writer_new(), lib.trace_writer_free)
    malloc, free = 1, 4  # enum ring_kind

    def note(kind: int, address: int, thread: int) -> None:
        event = ffi.new("struct trace_event *", {"thread": thread, "size": 100})
        assert lib.trace_writer_note(writer, kind, address, event)

    path = tmp_path / "a.trace"
    file = Writer(path.open("wb", buffering=0), {"page_size": 4096})

    def close_chunk() -> None:
        chunk = ffi.new("uint8_t const **")
        size = lib.trace_writer_chunk(writer, chunk)
        file.events(ffi.buffer(chunk[0], size)[:])

    note(malloc, 1 << 20, 1)
    for number in range(60000):  # the other one does all this meanwhile
        note(malloc, (2 + number) << 20, 2)
        if number == 30000:
            note(free, (2 + number) << 20, 1)
            close_chunk()
    note(free, 1 << 20, 2)
    close_chunk()
    file.close()
    with Trace(path) as trace:
        (done,) = replay(trace, [Point.parse("glibc")], runs=5, timeout=60)
    assert done.peak > 60000 * 100


def test_what_was_not_live_at_a_time_is_not(tmp_path: Path) -> None:
    """A thread of few requests comes when its time does."""
    writer = ffi.gc(lib.trace_writer_new(), lib.trace_writer_free)
    path, large = tmp_path / "a.trace", 100 << 20
    file = Writer(path.open("wb", buffering=0), {"page_size": 4096})

    def note(kind: int, address: int, thread: int, size: int) -> None:
        event = ffi.new("struct trace_event *", {"thread": thread, "size": size})
        assert lib.trace_writer_note(writer, kind, address, event)

    malloc, free = 1, 4  # enum ring_kind
    note(malloc, 1 << 40, 1, large)
    note(free, 1 << 40, 1, 0)
    for number in range(1, 50000):
        note(malloc, number << 12, 1, 100)
    note(malloc, 2 << 40, 2, large)
    note(free, 2 << 40, 2, 0)
    chunk = ffi.new("uint8_t const **")
    size = lib.trace_writer_chunk(writer, chunk)
    file.events(ffi.buffer(chunk[0], size)[:])
    file.close()
    with Trace(path) as trace:
        (done,) = replay(trace, [Point.parse("glibc")], runs=3, timeout=60)
    assert done.peak < 1.3 * large


def test_memory_is_foretold(build: Build, tmp_path: Path) -> None:
    """What is resident at most, within 5 %, and the order of allocators that differ by more."""
    command = (str(build("churn")), "100000")
    points = installed("glibc", "patalloc", "jemalloc", "mimalloc", "scudo")
    with Trace(recorded(tmp_path, *command)) as trace:
        foretold = {each.point: each.peak for each in replay(trace, points, runs=1)}
    measured = {
        point: launch(
            Program(command), point.environment(os.environ), tmp_path, library=point.library
        ).metrics["peak_anon"]
        for point in points
    }
    for point in points:
        assert foretold[point] == pytest.approx(measured[point], rel=0.05), point.name
    for one in points:
        for other in points:
            if measured[one] > 1.05 * measured[other]:
                assert foretold[one] > foretold[other]


def test_pages_are_written_as_the_program_did(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 4 MiB blocks a few pages. Else glibc would clear what it uses again for calloc."""
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "131072")
    with Trace(recorded(tmp_path, build("pages"))) as trace:
        (done,) = replay(trace, [Point.parse("glibc")], runs=1)
    assert done.peak < 1 << 20


def test_command(build: Build, tmp_path: Path) -> None:
    path = recorded(tmp_path, build("requests"), "2", "500", "exit")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [*PATALLOC, "replay", str(path), *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    lines = run().stdout.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["glibc", "patalloc"]
    assert "the program took" in lines[3]
    found = json.loads(run("threshold=64K", "--json", "--runs", "1").stdout)
    assert found["replays"][0]["allocator"] == "patalloc:threshold=64K"
    assert found["program"]["cpu"] > 0
    for wrong, said in (
        (("nonesuch",), "allocator nonesuch: must be patalloc, glibc"),
        (("threshold=x",), "threshold=x: bad value"),
    ):
        done = run(*wrong)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert said in done.stderr


def test_a_plan_has_each_threads_steps(build: Build, tmp_path: Path) -> None:
    path = recorded(tmp_path, build("requests"), "3", "200", "exit")
    with Trace(path) as trace:
        write_plan(trace, tmp_path / "plan")
        events = [*trace.events()]
    assert (tmp_path / "plan").read_bytes().startswith(b"patplan\n")
    assert (tmp_path / "plan").stat().st_size > 24 * len(events)
