"""The hunt: which allocation's uninitialised bytes change what a program does.

The program is run under several patterns; where its behaviour differs, some byte that it never
wrote was read. Which allocations must hold the other pattern for that is found by halving the set
of candidates (as Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002,
do with inputs), and then which of their bytes.
"""

import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import attrs

from patalloc.hunt.comparison import Comparison
from patalloc.hunt.runs import Behaviour, Runner, written_since
from patalloc.hunt.selection import Part
from patalloc.hunt.trace import Site, Trace
from patalloc.watch import Event, Module

Progress = Callable[[str, int], None]  # what is being done, and how many candidates are left
Trial = tuple[str, Iterable[Part]]  # a pattern, and what is to hold it
NamedTrial = tuple[str, str, tuple[Part, ...]]  # with what it is called
# Values that programs treat otherwise, by what they are as numbers of any size.
VALUES = {
    "nan": "0x7fff",  # as a 2-, 4-, 8- or 16-byte float; else large
    "minus-one": "0xff",  # and a NaN with its sign
    "negative": "0xc5",  # large: -6,328 as a float, -1.3e28 as a double
    "positive": "0x5a",  # large: 1.5e16 as a float, 1.8e127 as a double
    "text": "0x41",  # A
}
# What is tried: a test (of NaN, for x < 0, by a clamp) that hides one does not hide all.
PATTERNS = ("0xff", "0x5a", "0xc5", "0x01")
_BASELINES = 8  # runs at most, after which what varies is not understood


@attrs.frozen
class Candidates:
    """Allocations in some order: of each site those from one number to another."""

    parts: tuple[Part, ...]

    def __len__(self) -> int:
        """How many allocations they are."""
        return sum(part.last - part.first + 1 for part in self.parts)

    def __add__(self, other: "Candidates") -> "Candidates":
        """Both; they must not overlap."""
        return Candidates(self.parts + other.parts)

    def cut(self, length: int) -> tuple["Candidates", "Candidates"]:
        """The first so many, and the others."""
        first: list[Part] = []
        rest = [*self.parts]
        while rest and length:
            part = rest.pop(0)
            count = min(length, part.last - part.first + 1)
            first.append(attrs.evolve(part, last=part.first + count - 1))
            if part.first + count <= part.last:
                rest.insert(0, attrs.evolve(part, first=part.first + count))
            length -= count
        return Candidates(tuple(first)), Candidates(tuple(rest))

    def without(self, known: Iterable[Part]) -> "Candidates":
        """Those that are not among these parts, whatever bytes of an allocation they are."""
        parts = self.parts
        for out in known:
            parts = tuple(left for part in parts for left in _subtracted(part, out))
        return Candidates(parts)


def _subtracted(part: Part, out: Part) -> Iterator[Part]:
    if part.site != out.site or part.last < out.first or out.last < part.first:
        yield part
        return
    if part.first < out.first:
        yield attrs.evolve(part, last=out.first - 1)
    if out.last < part.last:
        yield attrs.evolve(part, first=out.last + 1)


def _candidates(traces: Iterable[Trace]) -> Candidates:
    most: dict[int, int] = {}
    for found in traces:
        for site in found.sites:
            most[site.identity] = max(most.get(site.identity, 0), site.allocations)
    return Candidates(tuple(Part(identity, 1, count) for identity, count in most.items()))


@attrs.frozen
class Culprit:
    """An allocation that the program reads before it has written it.

    Attributes:
        part: the allocation, and which of its bytes matter: to the end where Part.end is END.
        site: its call stack.
        modules: the files that the stack's code is from.
        python: the Python frames that led to it, as faulthandler prints them; empty elsewhere.
    """

    part: Part
    site: Site
    modules: tuple[Module, ...]
    python: str = ""

    @property
    def line(self) -> tuple[int, str]:
        """What tells its place in the program: the call stack, and Python's."""
        return self.part.site, self.python


@attrs.frozen
class Finding:
    """Allocations that together change the behaviour, and alone don't.

    Attributes:
        culprits: the allocations.
        pattern: that they held; behaviour: what the program did then.
        events: what was reported of its heap, if it died of that.
    """

    culprits: tuple[Culprit, ...]
    pattern: str
    behaviour: Behaviour
    events: tuple[Event, ...] = ()

    def is_like(self, other: "Finding") -> bool:
        """Whether it is of the same lines."""
        return [each.line for each in self.culprits] == [each.line for each in other.culprits]

    def covered(self, findings: Sequence["Finding"]) -> list[Part]:
        """The allocations that need not be looked at any more.

        Of Python several lines may have one call stack: there it is the allocation alone, until one
        of the same line is found again.
        """
        again = any(self is not each and self.is_like(each) for each in findings)
        parts = [each.part for each in self.culprits]
        python = all(each.python for each in self.culprits)
        return parts if python and not again else [Part(part.site) for part in parts]


@attrs.frozen
class Shares:
    """How many of some runs behaved otherwise.

    Attributes:
        different: of `runs` with the other pattern; different_without: of as many without it.
    """

    different: int
    different_without: int
    runs: int

    @property
    def agree(self) -> bool:
        """Whether the pattern alone decides."""
        return self.different == self.runs and self.different_without == 0


@attrs.frozen
class Chance:
    """Behaviour that differed, and not for the pattern alone.

    Attributes:
        pattern: the trial in which it did. behaviour: what the program did then.
        shares: of the runs that were to confirm it.
    """

    pattern: str
    behaviour: Behaviour
    shares: Shares


@attrs.define
class Verdict:
    """What a hunt has found.

    Attributes:
        baseline: the behaviour under the base pattern.
        comparison: what counts of a behaviour.
        unstable: another behaviour in the same circumstances, where the program is not
            deterministic: nothing was hunted then.
        behaviours: by pattern: what it did with that in all of its memory.
        differing: the patterns that change the behaviour, each time.
        findings: what makes it behave otherwise; empty where all is the same.
        chances: what differed once, and was not confirmed.
        written: files in the working folder that the program wrote, and that were not compared.
        allocations: how many were looked at, bytes: of how many bytes, sites: of how many stacks.
        runs: of the program so far; seconds: since the hunt began.
        interrupted: whether it was cut short.
        unsteady: whether runs with the same memory have differed in what can't be masked.
    """

    baseline: Behaviour
    comparison: Comparison
    unstable: Behaviour | None = None
    behaviours: dict[str, Behaviour] = attrs.field(factory=dict)
    differing: list[str] = attrs.field(factory=list)
    findings: list[Finding] = attrs.field(factory=list)
    chances: list[Chance] = attrs.field(factory=list)
    written: tuple[Path, ...] = ()
    allocations: int = 0
    bytes: int = 0
    sites: int = 0
    runs: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    unsteady: bool = False

    @property
    def differs(self) -> bool:
        """Whether some pattern changes the behaviour."""
        return bool(self.differing)

    @property
    def is_clean(self) -> bool:
        """Whether all was the same, as far as it was looked at."""
        return not (self.differs or self.chances or self.unstable or self.interrupted)


def _is_python(verdict: Verdict) -> bool:
    traces = verdict.baseline.traces
    return any("python" in module.path for trace in traces for module in trace.modules)


@attrs.define
class Hunt:
    """One hunt; see the module.

    Attributes:
        runners: of the program, alike but for their directories: so many runs go side by side.
        patterns: to be tried besides the runners' base.
        most: how many findings are enough.
        progress: told what is being done.
        time_limit: seconds after which it ends with what is known.
        comparison: what counts of a behaviour; it learns.
    """

    runners: list[Runner]
    patterns: tuple[str, ...] = PATTERNS
    most: int = 5
    progress: Progress = lambda what, left: None
    time_limit: float = math.inf
    comparison: Comparison = attrs.field(factory=Comparison)
    _started: float = attrs.field(factory=time.monotonic, init=False)

    @property
    def runs(self) -> int:
        """How many there were."""
        return sum(runner.runs for runner in self.runners)

    def run(self) -> Verdict:
        """Hunt.

        Raises:
            OSError: the program can't be run.
            KeyboardInterrupt: before a baseline was known.
        """
        verdict = self._hunt_once()
        if verdict.is_clean and _is_python(verdict) and "PYTHONMALLOC" not in os.environ:
            for runner in self.runners:
                runner.pymalloc = False  # what its pool has had hidden costs four times as much
            try:
                verdict = self._hunt_once()
            except KeyboardInterrupt:
                verdict.interrupted = True
        verdict.runs, verdict.seconds = self.runs, time.monotonic() - self._started
        return verdict

    def _hunt_once(self) -> Verdict:
        verdict = self._baseline()
        sites = [site for each in verdict.baseline.traces for site in each.sites]
        verdict.sites = len(sites)
        verdict.allocations = sum(site.allocations for site in sites)
        verdict.bytes = sum(site.bytes for site in sites)
        if verdict.unstable is None:
            try:
                self._hunt(verdict, _candidates(verdict.baseline.traces))
            except KeyboardInterrupt:
                verdict.interrupted = True
        return verdict

    @property
    def _quiet(self) -> Trial:
        return self.patterns[0], ()

    def _baseline(self) -> Verdict:
        """What equal runs do, until one shows nothing new that varies by itself."""
        self.progress("baseline", 0)
        begun = time.time()
        baseline, other = self._behaviours([self._quiet, self._quiet])
        comparison = self.comparison
        for _ in range(_BASELINES):
            if comparison.same(baseline, other):
                written = written_since(begun, self.runners[0].program.outputs)
                return Verdict(baseline, comparison, written=written)
            if not comparison.learn(baseline, other):
                break
            (other,) = self._behaviours([self._quiet])
        return Verdict(baseline, comparison, unstable=other)

    def _behaviours(self, trials: Sequence[Trial]) -> list[Behaviour]:
        """Of a run for each trial, as many side by side as there are runners."""
        for runner in self.runners:
            runner.deadline = self._started + self.time_limit
        if len(self.runners) == 1:
            return [self.runners[0].run(pattern, chosen) for pattern, chosen in trials]
        idle: Queue[Runner] = Queue()
        for runner in self.runners:
            idle.put(runner)

        def attempt(trial: Trial) -> Behaviour:
            runner = idle.get()
            try:
                return runner.run(*trial)
            finally:
                idle.put(runner)

        with ThreadPoolExecutor(len(self.runners)) as pool:
            try:
                return list(pool.map(attempt, trials))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for runner in self.runners:
                    runner.stop()
                raise

    def _hunt(self, verdict: Verdict, every: Candidates) -> None:
        trials = list(self._trials(every))
        self.progress("other patterns", len(every))
        done = self._behaviours([(pattern, chosen) for _, pattern, chosen in trials])
        verdict.behaviours |= {
            trial[0]: behaviour for trial, behaviour in zip(trials, done, strict=True)
        }
        trials = self._that_differ_again(verdict, trials)
        known: list[Part] = []
        for name, pattern, chosen in trials:
            left = every if chosen == (Part(0),) else Candidates(chosen)
            while True:
                left = left.without(known)
                finding = self._isolate(verdict, pattern, left)
                if finding is None:
                    break
                shares = self._shares(
                    pattern, [each.part for each in finding.culprits], verdict, finding.behaviour
                )
                if not shares.agree:
                    self._take_back(verdict, Chance(name, finding.behaviour, shares))
                    break
                if not any(finding.is_like(each) for each in verdict.findings):
                    verdict.findings.append(finding)
                known += finding.covered(verdict.findings)
                if len(verdict.findings) == self.most:
                    return
            if name in verdict.differing and not verdict.findings:
                self._doubt(verdict, name, pattern, chosen)

    def _that_differ_again(self, verdict: Verdict, trials: list[NamedTrial]) -> list[NamedTrial]:
        """The trials that differ from the baseline, in what does not vary by itself.

        The first one runs once more, and so does the baseline. Of the others isolation tells. What
        varies between two runs with the pattern is no reason to leave it out: it may be the error.
        """
        comparison, baseline = self.comparison, verdict.baseline

        def differing(among: Sequence[NamedTrial]) -> list[NamedTrial]:
            behaviours = verdict.behaviours
            return [each for each in among if not comparison.same(behaviours[each[0]], baseline)]

        found = differing(trials)
        sure = False
        while found and not sure:
            name, pattern, chosen = found[0]
            again, later = self._behaviours([(pattern, chosen), self._quiet])
            verdict.unsteady |= not comparison.learn(baseline, later)
            if comparison.same(again, baseline):
                chance = Chance(name, verdict.behaviours[name], Shares(1, 0, 2))
                verdict.chances.append(chance)
                found = differing(found[1:])
                continue
            found = differing(found)
            sure = bool(found) and found[0][0] == name
        verdict.differing = [name for name, *_ in found]
        return found

    def _shares(
        self, pattern: str, parts: Sequence[Part], verdict: Verdict, known: Behaviour
    ) -> Shares:
        """Of runs with the pattern in these parts and without: more where anything ever varied.

        One with it is known already.
        """
        self.progress("confirming", 1)
        varies = self.comparison.has_learned or verdict.chances or verdict.unsteady
        count = 6 if varies else 3
        with_it: Trial = (pattern, parts)
        differ = self._differ(verdict, [self._quiet, with_it] * (count - 1) + [self._quiet])
        first = not self.comparison.same(known, verdict.baseline)
        return Shares(first + sum(differ[1::2]), sum(differ[::2]), count)

    def _doubt(self, verdict: Verdict, name: str, pattern: str, chosen: tuple[Part, ...]) -> None:
        """Where no allocation is found: whether the pattern makes a difference at all."""
        (again,) = self._behaviours([(pattern, chosen)])
        shares = self._shares(pattern, chosen, verdict, again)
        if not shares.agree:
            self._take_back(verdict, Chance(name, verdict.behaviours[name], shares))

    def _take_back(self, verdict: Verdict, chance: Chance) -> None:
        verdict.chances.append(chance)
        verdict.differing.remove(chance.pattern)

    def _trials(self, every: Candidates) -> Iterator[NamedTrial]:
        """All memory with each pattern, then a half: two errors may cancel each other out."""
        for pattern in self.patterns:
            yield pattern, pattern, (Part(0),)
        first = self.patterns[0]
        halves = {
            "every other call stack": every.parts[::2],
            "the others": every.parts[1::2],
            "the first half of each": tuple(
                attrs.evolve(part, last=(part.first + part.last) // 2)
                for part in every.parts
                if part.last > part.first
            ),
        }
        for name, parts in halves.items():
            if parts:
                yield f"{first} in {name}", first, parts

    def _differ(self, verdict: Verdict, trials: Sequence[Trial]) -> list[bool]:
        done = self._behaviours(trials)
        return [not self.comparison.same(each, verdict.baseline) for each in done]

    def _isolate(self, verdict: Verdict, pattern: str, left: Candidates) -> Finding | None:
        """A smallest set of them that makes the behaviour differ; None where none does alone.

        The shortest front of the candidates that does ends with one that is needed; if it is not
        enough with those found so far, the rest of what is needed comes before it.
        """
        needed = Candidates(())
        while left.parts and self._differ(verdict, [(pattern, (needed + left).parts)])[0]:

            def fronts(
                lengths: Sequence[int], needed: Candidates = needed, left: Candidates = left
            ) -> list[bool]:
                tried = [needed + left.cut(length)[0] for length in lengths]
                return self._differ(verdict, [(pattern, front.parts) for front in tried])

            length = self._least("bisecting allocations", 1, len(left), fronts)
            front, _ = left.cut(length)
            left, last = front.cut(length - 1)
            needed += last
            if self._differ(verdict, [(pattern, needed.parts)])[0]:
                return self._explain(verdict, pattern, needed)
        return None

    def _least(
        self, what: str, low: int, high: int, hold: Callable[[Sequence[int]], list[bool]]
    ) -> int:
        """The least number from `low` to `high` for which it holds, as it does for `high`."""
        while low < high:
            self.progress(what, high - low + 1)
            count = min(len(self.runners), high - low)
            tried = [low + (high - low) * i // (count + 1) for i in range(1, count + 1)]
            tried = sorted(set(tried))
            holding = [number for number, holds in zip(tried, hold(tried), strict=True) if holds]
            high = min(holding, default=high)
            low = max((number + 1 for number in tried if number < high), default=low)
        return low

    def _narrow(self, verdict: Verdict, pattern: str, parts: list[Part], index: int) -> Part:
        """A part cut down to the bytes that matter, the others as they are.

        The first byte that matters is the last of the shortest front that does, and the last one
        is the first of the shortest back; or where bytes matter only together, the other way round.
        They are mostly near each other.
        """
        part = parts[index]
        sites = (site for each in verdict.baseline.traces for site in each.sites)
        most = max((site.largest for site in sites if site.identity == part.site), default=0)

        def differ(ranges: Iterable[tuple[int, int]]) -> list[bool]:
            trials: list[Trial] = []
            for start, end in ranges:
                cut = attrs.evolve(part, start=start, end=end)
                trials.append((pattern, [*parts[:index], cut, *parts[index + 1 :]]))
            return self._differ(verdict, trials)

        def fronts(lengths: Sequence[int]) -> list[bool]:
            return differ((0, length) for length in lengths)

        def backs(lengths: Sequence[int]) -> list[bool]:
            return differ((most - length, most) for length in lengths)

        front = self._least("narrowing bytes", 1, most, fronts) - 1
        short, long = (
            0,
            most - front,
        )  # lengths of a back that does not matter, and of one that does
        step = 1
        if backs([long])[0]:
            while step < long and backs([long - step])[0]:
                long, step = long - step, 2 * step
            short = max(long - step, 0)
        else:
            while long < most and not backs([min(long + step, most)])[0]:
                long, step = min(long + step, most), 2 * step
            if long == most:  # not even all of it does any more
                return attrs.evolve(part, start=0, end=most)
            short, long = long, min(long + step, most)
        back = most - self._least("narrowing bytes", short + 1, long, backs)
        return attrs.evolve(part, start=min(front, back), end=max(front, back) + 1)

    def _explain(self, verdict: Verdict, pattern: str, needed: Candidates) -> Finding:
        parts = [*needed.parts]
        for index in range(len(parts)):
            parts[index] = self._narrow(verdict, pattern, parts, index)
        behaviour = self.runners[0].run(pattern, parts)
        events: tuple[Event, ...] = ()
        if behaviour.status is not None and behaviour.status < 0:
            events = self.runners[0].run(pattern, parts, report=True).events
        culprits = tuple(self._culprit(verdict, part) for part in parts)
        return Finding(culprits, pattern, behaviour, events)

    def _culprit(self, verdict: Verdict, part: Part) -> Culprit:
        trace, site = next(
            (each, site)
            for each in verdict.baseline.traces
            for site in each.sites
            if site.identity == part.site
        )
        return Culprit(part, site, trace.modules, self._python_stack(trace, part))

    def _python_stack(self, trace: Trace, part: Part) -> str:
        """By stopping there, in a Python process: its faulthandler tells."""
        if not any("python" in module.path for module in trace.modules):
            return ""
        self.progress("asking Python", 1)
        stop = (part.site, part.first)
        stopped = self.runners[0].run(self.patterns[0], (), stop=stop)
        said = next(output.content for output in stopped.outputs if output.name == "stderr")
        text = said.decode(errors="replace")
        match = re.search(r"most recent call first\):\n((?:  File .*\n)+)", text)
        return match.group(1) if match else ""
