"""Runs of one hunt: what is tried, and what is known of the program from it."""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from queue import Queue

import attrs

from patalloc.hunt.comparison import Comparison, Point
from patalloc.hunt.residue import Block, Residue, Unwritten
from patalloc.hunt.runs import Behaviour, Runner, TimeIsUp
from patalloc.hunt.selection import CODES, END, ZEROS, Fill, Part
from patalloc.hunt.trace import Site, Trace

Progress = Callable[[str, int], None]  # what is being done, and how many candidates are left
_WORTH = 8  # runs one after the other, for which a server is started
_SLOW = 0.1  # seconds of a run, below which none is
PAIR = tuple(Fill(salt, 0) for salt in CODES.values())  # codes that are told apart


@attrs.frozen
class Trial:
    """A run that is to be made.

    Attributes:
        parts: what is to hold something else than zeros.
        salt: of the code of which the residue is wanted; 0 for none.
        report: whether to gather what is reported of its heap.
        mappings: whether to ask how much of its memory is seen.
        stop: an allocation at which it is to abort, by site and number; (0, 0) for none.
        until: the line of an output behind which it may be ended; None for none.
    """

    parts: tuple[Part, ...] = ()
    salt: int = 0
    report: bool = False
    mappings: bool = False
    stop: tuple[int, int] = (0, 0)
    until: tuple[str, int] | None = None

    def made_by(self, runner: Runner) -> Behaviour:
        """What the program does."""
        return runner.run(
            self.parts,
            stop=self.stop,
            report=self.report,
            salt=self.salt,
            mappings=self.mappings,
            until=self.until,
        )


QUIET = Trial()


def _made_anywhere(runner: Runner, trial: Trial, ends: float) -> Behaviour | None:
    """In another process, or on another machine, in a directory of its own.

    None if it went on when it was to end (time.time).
    """
    deadline = time.monotonic() + ends - time.time()
    with tempfile.TemporaryDirectory(prefix="patalloc-hunt-") as directory, suppress(TimeIsUp):
        return trial.made_by(attrs.evolve(runner, directory=Path(directory), deadline=deadline))
    return None


def _batches(trials: Sequence[Trial], size: int) -> Iterator[Sequence[Trial]]:
    for start in range(0, len(trials), size):
        yield trials[start : start + size]


def died(behaviour: Behaviour) -> bool:
    """Whether a signal ended it."""
    return behaviour.status is not None and behaviour.status < 0


@attrs.define
class Trials:
    """Makes runs, side by side where there are several runners.

    Attributes:
        runners: of the program, alike but for their directories.
        patterns: that will be tried in all memory.
        progress: told what is being done.
        deadline: when runs end, by time.monotonic.
        comparison: what counts of a behaviour; it learns.
        width: how many runs go side by side.
        executor: which makes them, instead of this process's threads.
        baseline: what the program does with zeros in all memory.
        unsteady: whether runs with the same memory have differed in what can't be masked.
        known: what was found, which holds zeros from then on.
    """

    runners: list[Runner]
    patterns: tuple[Fill, ...]
    progress: Progress
    deadline: float
    comparison: Comparison
    width: int
    executor: Executor | None
    baseline: Behaviour = attrs.field(init=False)
    unsteady: bool = False
    known: list[Part] = attrs.field(factory=list, init=False)
    _tried: dict[Fill, Behaviour] = attrs.field(factory=dict, init=False)  # in all other memory
    _residues: dict[Fill, Residue] = attrs.field(factory=dict, init=False)
    _partial: set[Fill] = attrs.field(factory=set, init=False)  # residues of runs that died

    def run(self, trials: Sequence[Trial]) -> list[Behaviour]:
        """What the program does in each."""
        if self.executor:
            batches = _batches(trials, self.width)
            done = (self._run_anywhere(self.executor, batch) for batch in batches)
            return [*chain.from_iterable(done)]
        idle: Queue[Runner] = Queue()
        for runner in self.runners[: self.width]:
            runner.deadline, runner.is_stopped = self.deadline, False
            idle.put(runner)

        def attempt(trial: Trial) -> Behaviour:
            runner = idle.get()
            try:
                return trial.made_by(runner)
            finally:
                idle.put(runner)

        if self.width == 1:
            return [attempt(trial) for trial in trials]
        with ThreadPoolExecutor(self.width) as pool:
            try:
                return list(pool.map(attempt, trials))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for runner in self.runners:
                    runner.stop()
                raise

    @contextmanager
    def served(self, parts: Sequence[Part], runs: int) -> Iterator[None]:
        """Meanwhile runs begin where the first of these parts would matter, if that is worth it.

        Args:
            parts: the only ones that they have.
            runs: how many will be made one after the other.
        """
        slow = self.runners[0].seconds > _SLOW and not self.executor
        runners = self.runners[: self.width] if slow and runs >= _WORTH else []
        try:
            with ThreadPoolExecutor(self.width) as pool:
                for runner, served in zip(
                    runners, pool.map(lambda runner: runner.serve(parts), runners), strict=True
                ):
                    if served is None or self.differs(served, None):
                        runner.end_server()
            yield
        finally:
            for runner in runners:
                runner.end_server()

    def _run_anywhere(self, executor: Executor, trials: Sequence[Trial]) -> list[Behaviour]:
        """As many as may be made at a time."""
        self.runners[0].runs += len(trials)
        ends = time.time() + self.deadline - time.monotonic()
        runners, ending = [self.runners[0]] * len(trials), [ends] * len(trials)
        done = [*executor.map(_made_anywhere, runners, trials, ending)]
        found = [each for each in done if each is not None]
        if len(found) < len(done):
            raise TimeIsUp
        return found

    def alone(self, parts: Iterable[Part]) -> Behaviour:
        """What it does with these, and zeros in all other memory."""
        return self.run([Trial(tuple(parts))])[0]

    def everywhere(self, fill: Fill, *, report: bool = False) -> Trial:
        """In all memory but that of what was found."""
        parts = (Part(0, fill=fill), *self.known)
        wanted = fill.is_code and (report or fill not in self._residues)
        return Trial(parts, salt=fill.word if wanted else 0, report=report)

    def with_fill(self, fill: Fill) -> Behaviour:
        """What the program does with that in all memory but that of what was found.

        Other patterns that will be tried are so side by side.
        """
        if fill not in self._tried:
            others = [each for each in self.patterns if each not in self._tried]
            fills = [fill, *(each for each in others if each != fill)][: self.width]
            done = self.run([self.everywhere(each) for each in fills])
            for each, behaviour in zip(fills, done, strict=True):
                self.note(each, behaviour)
        return self._tried[fill]

    def note(self, fill: Fill, behaviour: Behaviour) -> None:
        """That the program does so with that in all memory but that of what was found."""
        self._tried[fill] = behaviour
        self.note_residue(fill, behaviour)

    def note_residue(self, fill: Fill, behaviour: Behaviour, *, reported: bool = False) -> None:
        """Of a run that died what was there then is known only if that was reported."""
        if behaviour.residue is None or (fill in self._residues and not reported):
            return
        self._residues[fill] = behaviour.residue
        self._partial.discard(fill)
        if died(behaviour) and not reported:
            self._partial.add(fill)

    def differs(self, behaviour: Behaviour, point: Point | None) -> bool:
        """Whether it is not as in the baseline there."""
        if point is None:
            return not self.comparison.same(behaviour, self.baseline)
        return self.comparison.at(behaviour, point) != self.comparison.at(self.baseline, point)

    def site(self, identity: int) -> tuple[Trace, Site]:
        """Of the baseline's allocations."""
        return next(
            (trace, site)
            for trace in self.baseline.traces
            for site in trace.sites
            if site.identity == identity
        )

    # What was found

    def cover(self, parts: Iterable[Part]) -> None:
        """These hold zeros from then on; those of one site must not overlap."""
        for part in parts:
            whole = part.last == END
            self.known = [each for each in self.known if not (whole and each.site == part.site)]
            if not any(each.site == part.site and each.last == END for each in self.known):
                self.known.append(attrs.evolve(part, start=0, end=END, fill=ZEROS))
        self._tried.clear()

    def uncover(self, before: Sequence[Part]) -> None:
        """As it was before."""
        self.known = [*before]
        self._tried.clear()

    def is_known(self, block: Block) -> bool:
        """Whether it holds zeros from now on."""
        site, number = block
        return any(each.site == site and each.first <= number <= each.last for each in self.known)

    # What is never written

    def residue(self, fill: Fill) -> Residue:
        """What was not, with that code; runs that nobody asked for are made for it."""
        if fill not in self._residues:
            self.with_fill(fill)
        return self._residues[fill]

    def residue_of_both(self) -> Residue:
        """What was written with neither code."""
        for fill in PAIR:
            self.residue(fill)
            if fill in self._partial:
                (again,) = self.run([self.everywhere(fill, report=True)])
                self.note_residue(fill, again, reported=True)
        positive, negative = (self._residues[fill] for fill in PAIR)
        return positive.and_of(negative)

    def unwritten(self, block: Block) -> Unwritten | None:
        """What of it no run has written."""
        found: Unwritten | None = None
        for residue in self._residues.values():
            if block not in residue.blocks:
                return None
            found = found.and_of(residue.blocks[block]) if found else residue.blocks[block]
        return found if found and found.offsets else None
