"""An experiment: all points once a round, in another order each time, until enough is known.

How many rounds there are depends on how wide the intervals are, and on time, and never on what
they say: who looks after each round, and stops at a difference, finds one in 28 % of equal pairs.
"""

import math
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from statistics import median

import attrs

from patalloc.lab import seen
from patalloc.lab.journal import Entry, Found, Journal
from patalloc.lab.launcher import TIMES, Program, Run, heap_stats, launch
from patalloc.lab.points import Point
from patalloc.lab.statistics import Comparison, Interval, compared
from patalloc.machine import describe

_TRIES = 3  # times in a row that a point may fail


class ExperimentError(ValueError):
    """It can't be made, for a reason that a sentence tells."""


@attrs.frozen
class Progress:
    """How far it is.

    Attributes:
        round: which goes on, from 1; 0 while it is seen to that all points work.
        done: how many of its runs are; of: how many there will be.
        seconds_left: until the budget ends; less where intervals are narrow enough before.
    """

    round: int
    done: int
    of: int
    seconds_left: float


@attrs.frozen
class Results:
    """What is known.

    Attributes:
        points: by name, the baseline first. entries: all runs.
        left_out: points that could not be measured, and why.
        interrupted: whether it was ended before it was to.
        margin: what difference does not matter, as a share.
        is_idle: whether the program was seen to call no malloc: it shows what starting it takes.
    """

    points: tuple[str, ...]
    entries: tuple[Entry, ...]
    left_out: Mapping[str, str]
    interrupted: bool = False
    margin: float = 0.01
    is_idle: bool = False

    @property
    def baseline(self) -> str:
        """Its name."""
        return self.points[0]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of those that all counted runs have."""
        found = [each.metrics for each in self.counted()]
        return (
            tuple(name for name in found[0] if all(name in each for each in found)) if found else ()
        )

    @classmethod
    def of(cls, found: Found) -> "Results":
        """What a journal has.

        Raises:
            KeyError: its plan is another kind of experiment's.
        """
        points, margin = tuple(found.plan["points"]), float(found.plan["margin"])
        return cls(points, tuple(found.entries), given_up(found.entries), margin=margin)

    def counted(self) -> Iterator[Entry]:
        """The runs that count."""
        return (each for each in self.entries if each.round and not each.failure)

    def values(self, point: str, metric: str) -> dict[int, float]:
        """By round."""
        runs = (each for each in self.counted() if each.point == point)
        return {each.round: each.metrics[metric] for each in runs if metric in each.metrics}

    def typical(self, point: str, metric: str) -> Interval:
        """The median and its interval.

        Raises:
            statistics.StatisticsError: no run of it counts.
        """
        return Interval.of([*self.values(point, metric).values()])

    def ratios(self, metric: str) -> dict[str, list[float]]:
        """Each other point's to the baseline's, of the rounds in which both count; never by 0."""
        values: dict[str, dict[int, float]] = {name: {} for name in self.points}
        for run in self.counted():
            if metric in run.metrics:
                values[run.point][run.round] = run.metrics[metric]
        base = values[self.baseline]
        return {
            name: [own[each] / base[each] for each in own if base.get(each)]
            for name, own in values.items()
            if name != self.baseline
        }

    def comparisons(self, metric: str) -> dict[str, Comparison]:
        """What is known of each other point."""
        return compared(self.ratios(metric), self.margin)


def why_not(run: Run, reference: str | None) -> str:
    """Why the run does not count; "" where it does."""
    if run.status is None:
        return "took too long"
    if run.status < 0:
        known = -run.status in {*signal.Signals}
        name = signal.Signals(-run.status).name if known else f"signal {-run.status}"
        return f"killed by {name}" + (f": {run.complaint}" if run.complaint else "")
    if run.status and run.is_checked:
        return f"the check fails (exit status {run.status})"
    if run.status:
        return f"exit status {run.status}" + (f": {run.complaint}" if run.complaint else "")
    if reference is not None and run.output != reference:
        return "printed something else than the first run of the baseline"
    return ""


def given_up(entries: Sequence[Entry]) -> dict[str, str]:
    """Points that have failed in round 0, or the last times in a row, and why."""
    found: dict[str, str] = {}
    by_point: dict[str, list[str]] = {}
    for each in entries:
        by_point.setdefault(each.point, []).append(each.failure)
    for name, failures in by_point.items():
        if failures[0] or (len(failures) >= _TRIES and all(failures[-_TRIES:])):
            found[name] = failures[-1]
    return found


def _launch_anywhere(program: Program, point: Point) -> Run:
    with tempfile.TemporaryDirectory(prefix="patalloc-lab-") as directory:
        environment = point.environment(os.environ)
        return launch(program, environment, Path(directory), library=point.library)


@attrs.define
class Sweep:
    """One experiment; see the module.

    Attributes:
        program: what is run. points: the ways, the baseline first.
        metric: whose intervals decide when it is enough. width: how wide they may be, as a share.
        budget: seconds. rounds: how many at most; None for any.
        seed: of the orders.
        margin: what difference does not matter, as a share.
        journal: the file that keeps all runs, and from which it goes on; None for none.
        same_output: whether a run must print what the first one has.
        drops: asked after each round which points are to have no more runs, and why.
        executor: any of concurrent.futures' interface, which makes the runs of a round, maybe side
            by side: of these no times are taken.
        progress: told how far it is.
    """

    program: Program
    points: Sequence[Point]
    metric: str = "wall"
    width: float = 0.02
    budget: float = 120
    rounds: int | None = None
    seed: int = 1
    margin: float = 0.01
    journal: Path | None = None
    same_output: bool = True
    drops: Callable[[Results], Mapping[str, str]] = lambda results: {}
    executor: Executor | None = None
    progress: Callable[[Progress], None] = lambda progress: None
    _left_out: dict[str, str] = attrs.field(factory=dict, init=False)
    _is_idle: bool = attrs.field(default=False, init=False)
    _reference: str | None = attrs.field(default=None, init=False)

    def _plan(self) -> dict[str, object]:
        """What makes it this experiment."""
        return {
            "command": [*self.program.command],
            "check": self.program.check,
            "points": _names(self.points),
            "seed": self.seed,
            "margin": self.margin,
            "same output": self.same_output,
            "times": self.executor is None,
            "machine": describe(),
        }

    def run(self) -> Results:
        """Make the runs that are still to be made.

        Raises:
            ExperimentError: the program can't be measured, or not with the baseline.
            JournalError: the journal is another experiment's.
            OSError: something can't be written.
        """
        if not self.points:
            raise ExperimentError("no points are given")
        if not shutil.which(self.program.command[0]):
            raise ExperimentError(f"{self.program.command[0]}: not found")
        names = [point.name for point in self.points]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice and names != twice * 2:  # but one with itself, to see what the machine tells
            raise ExperimentError(f"{twice[0]} is there twice")
        interrupted = False
        with (
            tempfile.TemporaryDirectory(prefix="patalloc-lab-") as directory,
            Journal(self.journal, self._plan()) as journal,
        ):
            try:
                self._see_to_it(journal, Path(directory))
                self._measure(journal, Path(directory))
            except KeyboardInterrupt:
                interrupted = True
        return self._results(journal, interrupted=interrupted)

    def _results(self, journal: Journal, *, interrupted: bool = False) -> Results:
        names = tuple(_names(self.points))
        return Results(
            names,
            (*journal.entries,),
            dict(self._left_out),
            interrupted,
            self.margin,
            self._is_idle,
        )

    def _see_to_it(self, journal: Journal, directory: Path) -> None:
        """That all points work, once, which warms up: in round 0."""
        known = {each.point: each for each in journal.entries if not each.round}
        names = _names(self.points)
        used: dict[str, str] = {}  # by library, why it is not
        called = False
        for number, (name, point) in enumerate(zip(names, self.points, strict=True)):
            self.progress(Progress(0, number, len(names), self.budget))
            if name not in known:
                if point.library not in used:
                    shown = seen.look(self.program, point, directory)
                    used[point.library] = shown.why_not
                    called |= shown.is_called
                why = used[point.library]
                run = Run(None, "", {}) if why else self._run(point, directory, stats=directory)
                why = why or why_not(run, self._reference)
                if not number and not why and self.same_output:
                    again = self._run(point, directory)
                    why = why_not(again, None)
                    if not why and again.output != run.output:
                        raise ExperimentError(
                            f"{self.program.command[0]} prints something else each time: give "
                            "--check COMMAND, or --any-output"
                        )
                known[name] = Entry(0, name, run.metrics, run.output, why, heap_stats(directory))
                journal.add(known[name])
            if known[name].failure and not number:
                raise ExperimentError(f"{name}: {known[name].failure}")
            if not number and self.same_output:
                self._reference = known[name].output
        self._is_idle = bool(used) and not called

    def _run(self, point: Point, directory: Path, stats: Path | None = None) -> Run:
        environment = point.environment(os.environ, stats)
        return launch(self.program, environment, directory, library=point.library)

    def _measure(self, journal: Journal, directory: Path) -> None:
        """Goes on behind the last round, whole or not: its other runs were made at another time."""
        number = max(each.round for each in journal.entries)
        self._give_up(journal.entries)
        begun = time.monotonic()
        took: list[float] = []
        while self.rounds is None or self._whole_rounds(journal) < self.rounds:
            left = self.budget - (time.monotonic() - begun)
            if left < (median(took) if took else 0):
                break
            number += 1
            start = time.monotonic()
            self._make_round(journal, directory, number, left if took else math.inf)
            took.append(time.monotonic() - start)
            self._left_out |= self.drops(self._results(journal))
            if self._is_enough(journal):
                break

    def _whole_rounds(self, journal: Journal) -> int:
        points = {*self._in_use()}
        ran: dict[int, set[str]] = {}
        for each in journal.entries:
            ran.setdefault(each.round, set()).add(each.point)
        return sum(1 for number, names in ran.items() if number and points <= names)

    def _give_up(self, entries: Sequence[Entry]) -> None:
        """What has failed too often.

        Raises:
            ExperimentError: that is the baseline.
        """
        self._left_out |= given_up(entries)
        baseline = self.points[0].name
        if baseline in self._left_out:
            raise ExperimentError(f"{baseline}: {self._left_out[baseline]}")

    def _in_use(self) -> dict[str, Point]:
        named = dict(zip(_names(self.points), self.points, strict=True))
        return {name: point for name, point in named.items() if name not in self._left_out}

    def _make_round(self, journal: Journal, directory: Path, number: int, left: float) -> None:
        points = self._in_use()
        order = sorted(points)
        random.Random(f"{self.seed}:{number}").shuffle(order)  # noqa: S311
        runs = self._runs([points[name] for name in order], directory)
        until = time.monotonic() + left
        for place, (name, run) in enumerate(zip(order, runs, strict=True)):
            why = why_not(run, self._reference)
            metrics = run.metrics
            if self.executor:
                metrics = {key: value for key, value in metrics.items() if key not in TIMES}
            journal.add(Entry(number, name, metrics, run.output, why))
            self.progress(Progress(number, place + 1, len(order), min(left, self.budget)))
            self._give_up(journal.entries)
            if time.monotonic() > until:
                break

    def _runs(self, points: Sequence[Point], directory: Path) -> Iterator[Run]:
        if self.executor:
            return self.executor.map(_launch_anywhere, [self.program] * len(points), points)
        return (self._run(point, directory) for point in points)

    def _is_enough(self, journal: Journal) -> bool:
        ratios = self._results(journal).ratios(self.metric)
        known = [each for name, each in ratios.items() if name not in self._left_out]
        return all(each and Interval.of(each).width <= self.width for each in known)


def _names(points: Sequence[Point]) -> list[str]:
    """Of one with itself, the second time with a mark."""
    names = [point.name for point in points]
    return [name if name not in names[:at] else f"{name} again" for at, name in enumerate(names)]
