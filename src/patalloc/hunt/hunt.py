"""The hunt: which allocation's uninitialised bytes change what a program does.

The program is run with other bytes in all of its fresh memory; where its behaviour differs, some
byte that it never wrote was read. Its allocation is looked for, and confirmed before it is told of.
"""

import math
import os
import re
import time
from concurrent.futures import Executor
from pathlib import Path

import attrs

from patalloc.hunt.comparison import Comparison, Point
from patalloc.hunt.isolation import Case, Isolated, Isolation
from patalloc.hunt.results import Chance, Culprit, Finding, Shares, Verdict
from patalloc.hunt.runs import Behaviour, Runner, written_since
from patalloc.hunt.selection import Fill, Part
from patalloc.hunt.trace import Trace
from patalloc.hunt.trials import QUIET, Progress, Trial, Trials, died

# What is tried: a test (of NaN, for x < 0, by a clamp) that hides one does not hide all.
PATTERNS = ("random", "random-negative", "0xff", "0x01")
_FURTHER = 2  # runs
_BASELINES = 8  # runs at most, after which what varies is not understood


def _is_python(trace: Trace) -> bool:
    names = (Path(module.path).name for module in trace.modules)
    return any(name.startswith(("python", "libpython")) for name in names)


@attrs.define
class Hunt:
    """One hunt; see the module.

    Attributes:
        runners: of the program, alike but for their directories: so many runs go side by side.
        falls_back: whether they go one after the other where the program, run side by side, does
            something else, writes files, or behaves otherwise by chance.
        patterns: to be tried besides the runners' base: names of VALUES or CODES, or values.
        most: how many findings are enough.
        exact: whether to find out which bytes of an allocation matter.
        durations: whether times count.
        progress: told what is being done.
        time_limit: seconds after which it ends with what is known.
        budget: runs that may be made to tell how often something happens by chance.
        executor: any of concurrent.futures' interface, which makes the runs: they may be made on
            other machines where the program and this package have the same paths.
    """

    runners: list[Runner]
    patterns: tuple[str, ...] = PATTERNS
    most: int = 5
    exact: bool = False
    durations: bool = False
    falls_back: bool = False
    progress: Progress = lambda what, left: None
    time_limit: float = math.inf
    budget: int = 0
    executor: Executor | None = None
    _started: float = attrs.field(factory=time.monotonic, init=False)
    _gave_up: bool = attrs.field(default=False, init=False)  # as they may be in each other's way
    _width: int = attrs.field(default=0, init=False)  # of runs side by side; 0: as many as can be
    _trials: Trials = attrs.field(init=False)
    _verdict: Verdict = attrs.field(init=False)

    @property
    def runs(self) -> int:
        """How many there were."""
        return sum({id(runner): runner.runs for runner in self.runners}.values())

    def run(self) -> Verdict:
        """Hunt.

        Raises:
            OSError: the program can't be run.
            KeyboardInterrupt: before a baseline was known.
        """
        verdict = self._hunt()
        python = any(map(_is_python, verdict.baseline.traces))
        if verdict.is_clean and python and "PYTHONMALLOC" not in os.environ:
            for runner in self.runners:
                runner.pymalloc = False  # what its pool has had hidden costs four times as much
            try:
                verdict = self._hunt()
                verdict.pymalloc = False
            except KeyboardInterrupt:
                verdict.interrupted = True
        verdict.runs, verdict.seconds = self.runs, time.monotonic() - self._started
        return verdict

    def _hunt(self) -> Verdict:
        """With runs side by side; with one at a time where they may be in each other's way."""
        verdict = self._hunt_once()
        if not self._gave_up or verdict.interrupted:
            return verdict
        self._width, self._gave_up = 1, False
        try:
            alone = self._hunt_once()
        except KeyboardInterrupt:
            verdict.interrupted = True
            return verdict
        if alone.interrupted and len(alone.findings) < len(verdict.findings):
            verdict.interrupted = True
            return verdict
        return alone

    def _forget_what_varies(self) -> None:
        """What differs from the baseline only in what is known by now to vary by itself."""
        verdict = self._verdict

        def differs(behaviour: Behaviour) -> bool:
            return self._trials.differs(behaviour, None)

        verdict.findings = [each for each in verdict.findings if differs(each.behaviour)]
        verdict.chances = [each for each in verdict.chances if differs(each.behaviour)]
        verdict.differing = [
            name for name in verdict.differing if differs(verdict.behaviours[name])
        ]

    @property
    def _is_side_by_side(self) -> bool:
        """By our own choice."""
        return self.falls_back and self._trials.width > 1

    def _hunt_once(self) -> Verdict:
        width = self._width or len(self.runners)
        comparison = Comparison(durations=self.durations)
        fills = tuple(map(Fill.parse, self.patterns))
        deadline = self._started + self.time_limit
        self._trials = Trials(
            self.runners, fills, self.progress, deadline, comparison, width, self.executor
        )
        verdict = self._verdict = self._baseline(self._trials)
        sites = [site for each in verdict.baseline.traces for site in each.sites]
        verdict.sites = len(sites)
        verdict.allocations = sum(site.allocations for site in sites)
        verdict.bytes = sum(site.bytes for site in sites)
        try:
            for name in self.patterns:
                if verdict.unstable is None:
                    self._pursue(name)
                elif self.budget:
                    self._take_for_chance(name, verdict.unstable, Shares(0, 0, 0))
                if len(verdict.findings) >= self.most:
                    break
                if verdict.chances and self._is_side_by_side:
                    self._gave_up = True  # what it has to do with is known by runs made alone
                    break
        except KeyboardInterrupt:
            verdict.interrupted = True
        self._forget_what_varies()
        return verdict

    def _baseline(self, trials: Trials) -> Verdict:
        """What equal runs do, until one shows nothing new that varies by itself."""
        self.progress("baseline", 0)
        begun, width, comparison = time.time(), trials.width, trials.comparison
        outputs = self.runners[0].program.outputs
        if self.falls_back and outputs:
            trials.width = width = 1  # all of them write these
        first, other = beside = trials.run([Trial(mappings=True), QUIET])
        if self.falls_back and width > 1 and not comparison.same(first, other):
            trials.width = 1
            first, other = trials.run([Trial(mappings=True), QUIET])
        trials.baseline = first
        for _ in range(_BASELINES):
            if comparison.same(first, other):
                break
            if not comparison.learn(first, other):
                return Verdict(first, comparison, unstable=other)
            (other,) = trials.run([QUIET])
        else:
            return Verdict(first, comparison, unstable=other)
        ours = (each.directory for each in self.runners)
        written = written_since(begun, [*outputs, *ours])
        if not written and all(comparison.same(first, each) for each in beside):
            trials.width = width
        elif self.falls_back:
            trials.width = 1
        return Verdict(first, comparison, written=written)

    # A pattern

    def _pursue(self, name: str) -> None:
        """What makes the program behave otherwise with it, one after the other."""
        trials, verdict, fill = self._trials, self._verdict, Fill.parse(name)
        self.progress("other patterns", 0)
        behaviour = trials.with_fill(fill)
        verdict.behaviours[name] = behaviour
        again: Behaviour | None = None
        while trials.differs(behaviour, None):
            if again is None:
                (again,) = trials.run([trials.everywhere(fill, report=died(behaviour))])
                if not trials.differs(again, None):
                    if not trials.comparison.learn(trials.baseline, behaviour):
                        self._take_for_chance(name, behaviour, Shares(1, 0, 2))
                    return  # else it varies by itself, and did not before
                if name not in verdict.differing:
                    verdict.differing.append(name)
            case = self._case(name, fill, behaviour, again)
            if case.point is None and self._varies_by_itself(case):
                continue
            found = Isolation(trials, case, self.exact).culprits()
            if found is None:
                self._doubt(case)
                return
            finding = self._confirmed(case, found)
            if finding is None:
                return
            if not any(finding.is_like(each) for each in verdict.findings):
                verdict.findings.append(finding)
            if len(verdict.findings) >= self.most:
                return
            behaviour, again = trials.with_fill(fill), None

    def _case(self, name: str, fill: Fill, behaviour: Behaviour, again: Behaviour) -> Case:
        """By what the error is known: the first of what differs in both runs alike.

        What varies between two runs with the pattern is no reason to leave it out: it may be the
        error.
        """
        trials = self._trials
        at = trials.comparison.at
        points = trials.comparison.points(trials.baseline, behaviour)
        trials.unsteady |= any(at(behaviour, each) != at(again, each) for each in points)
        steady = (self._steady(each, behaviour, again) for each in points)
        trials.note_residue(fill, again, reported=died(behaviour))
        told = attrs.evolve(behaviour, events=again.events)
        return Case(name, fill, told, next(filter(None, steady), None))

    def _steady(self, point: Point, one: Behaviour, other: Behaviour) -> Point | None:
        """The point, or a word of that line, if it is so in both, and not in the baseline."""
        trials = self._trials
        at = trials.comparison.at
        finer = [point, *trials.comparison.words(point, trials.baseline)]
        same = (each for each in finer if at(one, each) == at(other, each))
        return next((each for each in same if trials.differs(one, each)), None)

    def _varies_by_itself(self, case: Case) -> bool:
        """Whether another baseline shows that all of it does, as by a clock; else nothing is so."""
        trials = self._trials
        (later,) = trials.run([QUIET])
        trials.unsteady |= not trials.comparison.learn(trials.baseline, later)
        if trials.differs(case.behaviour, None):
            return False
        self._withdraw(case)
        return True

    def _withdraw(self, case: Case) -> None:
        """That the pattern changes the behaviour, unless something was found with it before."""
        if not any(each.pattern == case.name for each in self._verdict.findings):
            self._verdict.differing.remove(case.name)

    # Chance

    def _doubt(self, case: Case) -> None:
        """Where no allocation is found: whether the pattern makes a difference at all."""
        if self._varies_by_itself(case):
            return
        more = self._confirmations() - 1
        found = self._shares(case.fill, more)
        shares = Shares(1 + found.different, found.different_without, 1 + more)
        if not shares.agree:
            self._withdraw(case)
            self._take_for_chance(case.name, case.behaviour, shares)

    def _shares(self, fill: Fill, pairs: int) -> Shares:
        trials = self._trials
        done = trials.run([QUIET, trials.everywhere(fill)] * pairs)
        differ = [trials.differs(each, None) for each in done]
        return Shares(sum(differ[1::2]), sum(differ[::2]), pairs)

    def _take_for_chance(self, name: str, behaviour: Behaviour, shares: Shares) -> None:
        """How often it behaves otherwise, by runs made for that, as many as the budget allows.

        Those known until now were chosen by what they did. A share of the budget is left to the
        patterns behind this one.
        """
        left = len(self.patterns) - self.patterns.index(name)
        pairs = (self.budget - self.runs) // (2 * left)
        if pairs > 0 and not self._is_side_by_side:
            self.progress("counting shares", 0)
            shares = self._shares(Fill.parse(name), pairs)
        if shares.runs:
            self._verdict.chances.append(Chance(name, behaviour, shares))

    # Confirming

    def _confirmations(self) -> int:
        """How many runs with it and without are to agree: more where anything ever varied."""
        varied = self._trials.comparison.has_learned or self._trials.unsteady
        return 6 if varied or self._verdict.chances else 3

    def _confirmed(self, case: Case, found: Isolated) -> Finding | None:
        """The finding, if runs with the culprits and without agree; else it was chance.

        Of those with it one is known, as is the baseline of those without. In these all other
        memory holds the pattern, or the next ones, which are to be tried so anyway; unless they
        show another error there: then it holds none.
        """
        trials, culprits, alone = self._trials, found.culprits, found.alone
        parts = [each.part for each in culprits]
        sites = [Part(each.site) for each in parts]
        before = [*trials.known]
        in_python = all(_is_python(trials.site(each.site)[0]) for each in parts)
        trials.cover(parts if in_python else sites)  # several lines may have one call stack there
        count = self._confirmations()
        self.progress("confirming", 1)
        later = self.patterns[self.patterns.index(case.name) + 1 :]
        fills = ([case.fill, *map(Fill.parse, later)] + [case.fill] * count)[: count - 1]
        acting = Trial(tuple(parts), report=died(alone))
        pairs = [(trials.everywhere(fill), acting) for fill in fills]
        done = trials.run([trial for pair in pairs for trial in pair])
        without = [*zip(fills, done[::2], strict=True)]
        others = sum(trials.differs(each, case.point) for _, each in without)
        quiet = trials.run([QUIET] * others)  # another allocation may have the same effect
        shares = Shares(
            1 + sum(trials.differs(each, case.point) for each in done[1::2]),
            sum(trials.differs(each, case.point) for each in quiet),
            count,
        )
        if shares.agree and not (found.told or self._verdict.findings):
            shares = self._further(case, acting, shares)
        if not shares.agree:
            itself = self._varies_by_itself(case)
            trials.uncover(before)
            if not itself:
                self._withdraw(case)
                self._take_for_chance(case.name, case.behaviour, shares)
            return None
        for fill, behaviour in reversed(without):
            trials.note(fill, behaviour)
        if in_python:
            culprits = tuple(
                attrs.evolve(each, python=self._python_stack(each)) for each in culprits
            )
        events = next((each.events for each in done[1::2] if each.events), alone.events)
        finding = Finding(culprits, case.name, alone, events)
        like = any(finding.is_like(each) for each in self._verdict.findings)
        if in_python and (like or not all(each.python for each in culprits)):
            trials.cover(sites)  # this line has been told of, or there is none
        return finding

    def _further(self, case: Case, acting: Trial, shares: Shares) -> Shares:
        """With more runs, where only runs that differ have led to the first allocation.

        Of three hundred hunts of a program that does something else in one run of four, two had it
        in all runs up to here by chance.
        """
        trials = self._trials
        differ = [trials.differs(each, case.point) for each in trials.run([acting] * _FURTHER)]
        without = 0
        if not all(differ):
            quiet = trials.run([QUIET] * _FURTHER)
            without = sum(trials.differs(each, case.point) for each in quiet)
        return Shares(
            shares.different + sum(differ),
            shares.different_without + without,
            shares.runs + _FURTHER,
        )

    def _python_stack(self, culprit: Culprit) -> str:
        """By stopping there, in a Python process: its faulthandler tells."""
        self.progress("asking Python", 1)
        (stopped,) = self._trials.run([Trial(stop=(culprit.part.site, culprit.part.first))])
        said = next(output.content for output in stopped.outputs if output.name == "stderr")
        text = said.decode(errors="replace")
        match = re.search(r"(?:Current thread|Stack) .*\n((?:  File .*\n)+)", text)
        return match.group(1) if match else ""
