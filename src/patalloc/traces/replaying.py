"""Replaying: what a trace says is done again, by other allocators."""

import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path

import attrs

from patalloc._core import ffi, lib
from patalloc.errors import PreloadError
from patalloc.lab.points import Point
from patalloc.traces.file import Trace


@attrs.frozen
class Replay:
    """What one allocator took for it; medians of several runs.

    Attributes:
        point: the allocator.
        peak: bytes that were resident at most, above what was so before: the heap's own.
        after: the same at the end.
        cpu: seconds of all threads, the writing of pages and their faults among them: the
            allocator's own time, and not the program's, in which it also matters where blocks lie.
        wall: seconds.
        runs: how many.
    """

    point: Point
    peak: int
    after: int
    cpu: float
    wall: float
    runs: int


class ReplayError(RuntimeError):
    """A replay ended otherwise than it should; says how."""


def _program() -> Path:
    with as_file(files("patalloc") / "traces" / "replay") as path:
        if not path.is_file():
            raise PreloadError(f"{path}: not there; install patalloc again")
        return path


def write_plan(trace: Trace, path: Path) -> None:
    """What the threads of a trace are to do, for the program replay.

    Raises:
        TraceError: the trace is damaged.
        OSError: the file can't be written.
    """
    plan = ffi.gc(lib.plan_new(), lib.plan_free)
    for reader in trace.readers():
        if not lib.plan_chunk(plan, reader):
            raise trace.damaged()
    with path.open("wb") as file:
        if not lib.plan_write(plan, file.fileno()):
            raise OSError(ffi.errno, os.strerror(ffi.errno), str(path))


def _once(plan: Path, point: Point, timeout: float | None) -> dict[str, float]:
    environment = point.environment({k: v for k, v in os.environ.items() if k != "LD_PRELOAD"})
    command = [str(_program()), str(plan)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise ReplayError(f"{point.name}: {last[0]}")
    found: dict[str, float] = json.loads(done.stdout)
    if found["failed"]:
        raise ReplayError(f"{point.name}: {found['failed']:,} requests failed")
    return found


def replay(
    trace: Trace,
    points: Sequence[Point],
    *,
    runs: int = 3,
    timeout: float | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Replay]:
    """Do what a trace says again, by each allocator in turn, so many times.

    Args:
        trace: a trace.
        points: the allocators.
        runs: of each.
        timeout: seconds of a run; None for any.
        progress: told the name of the allocator that is at it.

    Raises:
        TraceError: the trace is damaged.
        ReplayError: a run failed.
        subprocess.TimeoutExpired: a run took too long.
        OSError: there is no room for the plan.
    """
    found: dict[Point, list[dict[str, float]]] = {point: [] for point in points}
    with tempfile.TemporaryDirectory(prefix="patalloc-") as directory:
        plan = Path(directory) / "plan"
        write_plan(trace, plan)
        for _ in range(runs):
            for point in points:
                progress(point.name)
                found[point].append(_once(plan, point, timeout))
    return [_median(point, done) for point, done in found.items()]


def _median(point: Point, done: Sequence[Mapping[str, float]]) -> Replay:
    def of(name: str) -> float:
        return statistics.median(run[name] for run in done)

    return Replay(
        point, int(of("peak")), int(of("after")), cpu=of("cpu"), wall=of("wall"), runs=len(done)
    )
