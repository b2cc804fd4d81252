"""Replays of real programs' traces: memory and time of allocators, whatever is installed.

The traces are those in bench/traces, and a synthetic one, four times as large as one of them. All
allocators do the same in turn within a round. What is not installed is left out.
"""

import random
import tempfile
from pathlib import Path

from measure import HERE, Result, Sample, Variant, arguments, console, finish, table, with_spread
from rich.console import Console
from rich.progress import track

from patalloc.lab.points import Point, PointError
from patalloc.traces import Trace
from patalloc.traces.replaying import replay
from patalloc.traces.synthesis import synthesize

ALLOCATORS = ("glibc", "patalloc", "jemalloc", "mimalloc", "scudo")
ENLARGED, SCALE = "perl", 4


def installed() -> list[Point]:
    """The allocators that are there; of others it says that they are not."""
    found = []
    for name in ALLOCATORS:
        try:
            found.append(Point.parse(name))
        except PointError as error:
            console.print(f"left out: {error}")
    return found


def measure(path: Path, points: list[Point], rounds: int) -> list[Result]:
    """Replay a trace by all of them."""
    samples: dict[Point, list[Sample]] = {point: [] for point in points}
    with Trace(path) as trace:
        for _ in track(range(rounds), path.stem, console=Console(stderr=True)):
            for done in replay(trace, random.sample(points, len(points)), runs=1):
                samples[done.point].append(Sample(done.cpu * 1e6, done.peak // 1024))
    return [Result(Variant(point.name, []), found) for point, found in samples.items()]


def main() -> None:
    """Measure, and print a table of memory and one of time."""
    options = arguments(__doc__)
    rounds = 1 if options.short else options.rounds
    points = installed()
    with tempfile.TemporaryDirectory(prefix="patalloc-bench-") as name:
        larger = Path(name) / f"{ENLARGED} x {SCALE}.trace"
        with Trace(HERE / "traces" / f"{ENLARGED}.trace") as trace:
            synthesize(trace, larger, scale=SCALE)
        paths = [*sorted((HERE / "traces").glob("*.trace")), larger]
        groups = {path.stem: measure(path, points, rounds) for path in paths}
    columns = ("", *(point.name for point in points))
    memory = [
        (trace, *(f"{each.rss_kib / 1024:.1f}" for each in found))
        for trace, found in groups.items()
    ]
    table(f"memory at most, MiB, medians of {rounds} rounds", columns, memory)
    times = [(trace, *(with_spread(each) for each in found)) for trace, found in groups.items()]
    table("the allocator's own time, us", columns, times)
    finish(options.output, groups)


if __name__ == "__main__":
    main()
