"""Settings that suit a program: found by racing, and then measured anew.

All points run in paired rounds, and one is dropped when its interval is worse than the leader's
(racing; Maron and Moore, Hoeffding Races, 1993). The best of many equal points looks better than it
is, so what is told of the winner is from runs that had no part in choosing it.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from patalloc.heap import Config
from patalloc.lab import seen
from patalloc.lab.launcher import Program, heap_stats, launch
from patalloc.lab.points import Point, grid, points
from patalloc.lab.statistics import Interval
from patalloc.lab.sweep import ExperimentError, Progress, Results, Sweep, why_not
from patalloc.preload import environment

_LOWEST = 64 << 10
_SPACE = ("threshold=64K,128K,512K,2M", "fill=auto,refpage,memset", "retain_size=0,32M,256M")
_FEWEST = 6  # rounds, before a point is dropped
_ROUNDS = 8  # for which there is to be time
_ANEW = 0.2  # of the budget, in which the winner is measured


def blocks(program: Program) -> tuple[int, float]:
    """How many its busiest process had of the heap, at the lowest threshold; and what it took.

    Raises:
        ExperimentError: they can't be counted, as the program is not reached, or fails.
        OSError: it can't be started.
    """
    with tempfile.TemporaryDirectory(prefix="patalloc-lab-") as directory:
        why = seen.look(program, Point("patalloc"), Path(directory)).why_not
        config = Config(threshold=_LOWEST, stats=f"{directory}/stats.%p")
        run = launch(program, environment(config, os.environ), Path(directory))
        stats = heap_stats(Path(directory))
        why = why or why_not(run, None)
        if why or not stats:
            why = why or "it ends by _exit(2), and nothing is counted"
            raise ExperimentError(f"{program.command[0]}: {why}")
        return stats.get("blocks", 0), run.metrics["wall"]


def space(seconds: float) -> list[Point]:
    """What is tried: the default, and all combinations, or each value alone, as there is time.

    Args:
        seconds: how many there are, of those that a run takes.
    """
    every = points(grid(_SPACE), ["patalloc"])
    alone = [point for line in _SPACE for point in points(grid([line]), ["patalloc"])]
    return [Point("patalloc"), *(every if len(every) * _ROUNDS < seconds else alone)]


@attrs.frozen
class Tuned:
    """What was found.

    Attributes:
        searched: all runs of the race. confirmed: those of default and winner made anew; None where
            the default has won, or a front was asked for.
        winner: a point's name. front: of points beside which no other is better in time and memory.
    """

    searched: Results
    winner: str
    front: tuple[str, ...]
    confirmed: Results | None


@attrs.define
class Tuning:
    """A search.

    Attributes:
        program: what is run. seconds: how long a run takes.
        metric: what is to be small; None for the front of all that are best at something.
        most_rss: how large the peak RSS may be, of the default's; None for any.
        budget: seconds. seed: of the orders.
        same_output: whether runs must print the same.
        progress: told how far it is.
    """

    program: Program
    seconds: float
    metric: str | None = "cpu"
    most_rss: float | None = None
    budget: float = 300
    seed: int = 1
    same_output: bool = True
    progress: Callable[[Progress], None] = lambda progress: None

    def run(self) -> Tuned:
        """Search.

        Raises:
            ExperimentError: the program can't be measured.
            OSError: something can't be written.
        """
        tried = space(self.budget * (1 - _ANEW) / self.seconds)
        race = Sweep(
            self.program,
            tried,
            metric=self.metric or "cpu",
            width=0.0,
            budget=self.budget * (1 - _ANEW),
            seed=self.seed,
            same_output=self.same_output,
            drops=self._beaten,
            progress=self.progress,
        )
        searched = race.run()
        front = self._front(searched)
        winner = self._leader(searched) if self.metric else searched.baseline
        if winner == searched.baseline or searched.interrupted:
            return Tuned(searched, winner, front, None)
        anew = Sweep(
            self.program,
            [tried[0], Point.parse(winner)],
            metric=self.metric or "cpu",
            width=0.0,
            budget=self.budget * _ANEW,
            seed=self.seed + 1,
            same_output=self.same_output,
            progress=self.progress,
        )
        return Tuned(searched, winner, front, anew.run())

    def _in_race(self, results: Results) -> list[str]:
        """The points that may win."""
        allowed = [name for name in results.points if name not in results.left_out]
        if self.most_rss is None:
            return allowed
        memory = results.ratios("peak_rss")
        return [
            name
            for name in allowed
            if name == results.baseline
            or (memory.get(name) and Interval.of(memory[name]).median <= self.most_rss)
        ]

    def _leader(self, results: Results) -> str:
        """The lowest median, of ratios to the default within rounds."""
        ratios = results.ratios(self.metric or "cpu")
        medians = {name: Interval.of(each).median for name, each in ratios.items() if each}
        medians[results.baseline] = 1.0
        return min(self._in_race(results), key=lambda name: medians.get(name, float("inf")))

    def _beaten(self, results: Results) -> Mapping[str, str]:
        """The points that are surely worse than the leader, or take too much memory."""
        if max((each.round for each in results.entries), default=0) < _FEWEST:
            return {}
        found: dict[str, str] = {}
        memory = results.ratios("peak_rss")
        for name in results.points[1:]:
            if self.most_rss and Interval.of(memory[name] or [0]).low > self.most_rss:
                found[name] = "takes too much memory"
        if self.metric:
            leader = self._leader(results)
            best = results.values(leader, self.metric)
            for name in results.points[1:]:
                own = results.values(name, self.metric)
                beside = [own[each] / best[each] for each in own if best.get(each)]
                if name != leader and beside and Interval.of(beside).low > 1:
                    found.setdefault(name, f"worse than {leader}")
        return found

    def _front(self, results: Results) -> tuple[str, ...]:
        """Pareto's, of the medians of CPU time and peak RSS beside the default's."""
        where: dict[str, tuple[float, float]] = {results.baseline: (1.0, 1.0)}
        times, memory = results.ratios("cpu"), results.ratios("peak_rss")
        for name in self._in_race(results):
            if times.get(name) and memory.get(name):
                where[name] = (Interval.of(times[name]).median, Interval.of(memory[name]).median)
        return tuple(
            name
            for name, (time, rss) in where.items()
            if not any(
                other[0] <= time and other[1] <= rss and other != (time, rss)
                for other in where.values()
            )
        )
