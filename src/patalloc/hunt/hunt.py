"""The hunt: which allocation's uninitialised bytes change what a program does.

The program is run with other bytes in all of its fresh memory; where its behaviour differs, some
byte that it never wrote was read. Most such bytes are a code, by which each word tells whose it is,
so that a number in what the program did leads to its allocation. Else those that were never written
are told apart by halves, or by more groups than two where each group's own code leads to a
behaviour of its own.
"""

import math
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import attrs

from patalloc.hunt import decoding
from patalloc.hunt.candidates import Candidates, ranked
from patalloc.hunt.comparison import Comparison, Point
from patalloc.hunt.residue import Block, Range, Residue, Unwritten
from patalloc.hunt.results import Chance, Culprit, Finding, Shares, Verdict
from patalloc.hunt.runs import Behaviour, Runner, written_since
from patalloc.hunt.selection import CODES, END, ZEROS, Fill, Part
from patalloc.hunt.trace import Site, Trace

Progress = Callable[[str, int], None]  # what is being done, and how many candidates are left
# What is tried: a test (of NaN, for x < 0, by a clamp) that hides one does not hide all.
PATTERNS = ("random", "random-negative", "0xff", "0x01")
_CODES = tuple(Fill(salt, 0) for salt in CODES.values())
_THIRD_CODE = Fill(max(CODES.values()) + 1, 0)
_MANY = 500  # candidates, of which groups are told apart by a third code, too
_BASELINES = 8  # runs at most, after which what varies is not understood
_TRIES = 2  # of allocations that numbers in the output lead to


@attrs.frozen
class Trial:
    """A run that is to be made.

    Attributes:
        parts: what is to hold something else than zeros.
        salt: of the code of which the residue is wanted; 0 for none.
        report: whether to gather what is reported of its heap.
    """

    parts: tuple[Part, ...] = ()
    salt: int = 0
    report: bool = False


_QUIET = Trial()


@attrs.frozen
class Case:
    """Something that a program does otherwise, and with what.

    Attributes:
        name: the pattern. fill: the same. behaviour: what it did.
        point: the first of what differs each time; None where it is another each time.
    """

    name: str
    fill: Fill
    behaviour: Behaviour
    point: Point | None


def _died(behaviour: Behaviour) -> bool:
    return behaviour.status is not None and behaviour.status < 0


def _is_python(trace: Trace) -> bool:
    names = (Path(module.path).name for module in trace.modules)
    return any(name.startswith(("python", "libpython")) for name in names)


@attrs.define
class Hunt:
    """One hunt; see the module.

    Attributes:
        runners: of the program, alike but for their directories: so many runs go side by side.
        patterns: to be tried besides the runners' base: names of VALUES or CODES, or values.
        most: how many findings are enough.
        exact: whether to find out which bytes of an allocation matter.
        progress: told what is being done.
        time_limit: seconds after which it ends with what is known.
        comparison: what counts of a behaviour; it learns.
    """

    runners: list[Runner]
    patterns: tuple[str, ...] = PATTERNS
    most: int = 5
    exact: bool = False
    progress: Progress = lambda what, left: None
    time_limit: float = math.inf
    comparison: Comparison = attrs.field(factory=Comparison)
    _started: float = attrs.field(factory=time.monotonic, init=False)
    _known: list[Part] = attrs.field(factory=list, init=False)  # found: they hold zeros from then
    _tried: dict[Fill, Behaviour] = attrs.field(factory=dict, init=False)  # in all other memory
    _residues: dict[Fill, Residue] = attrs.field(factory=dict, init=False)
    _partial: set[Fill] = attrs.field(factory=set, init=False)  # residues of runs that died
    _verdict: Verdict = attrs.field(init=False)

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
        python = any(map(_is_python, verdict.baseline.traces))
        if verdict.is_clean and python and "PYTHONMALLOC" not in os.environ:
            for runner in self.runners:
                runner.pymalloc = False  # what its pool has had hidden costs four times as much
            try:
                verdict = self._hunt_once()
            except KeyboardInterrupt:
                verdict.interrupted = True
        verdict.runs, verdict.seconds = self.runs, time.monotonic() - self._started
        return verdict

    def _hunt_once(self) -> Verdict:
        verdict = self._verdict = self._baseline()
        self._tried.clear()
        self._residues.clear()
        self._partial.clear()
        sites = [site for each in verdict.baseline.traces for site in each.sites]
        verdict.sites = len(sites)
        verdict.allocations = sum(site.allocations for site in sites)
        verdict.bytes = sum(site.bytes for site in sites)
        if verdict.unstable is None:
            try:
                for name in self.patterns:
                    self._pursue(name)
                    if len(verdict.findings) >= self.most:
                        break
            except KeyboardInterrupt:
                verdict.interrupted = True
        return verdict

    def _baseline(self) -> Verdict:
        """What equal runs do, until one shows nothing new that varies by itself."""
        self.progress("baseline", 0)
        begun = time.time()
        baseline, other = self._behaviours([_QUIET, _QUIET])
        comparison = self.comparison
        for _ in range(_BASELINES):
            if comparison.same(baseline, other):
                ours = (each.directory for each in self.runners)
                known = [*self.runners[0].program.outputs, *ours]
                written = written_since(begun, known)
                return Verdict(baseline, comparison, written=written)
            if not comparison.learn(baseline, other):
                break
            (other,) = self._behaviours([_QUIET])
        return Verdict(baseline, comparison, unstable=other)

    # Running

    def _behaviours(self, trials: Sequence[Trial]) -> list[Behaviour]:
        """Of a run for each trial, as many side by side as there are runners."""
        for runner in self.runners:
            runner.deadline = self._started + self.time_limit
        idle: Queue[Runner] = Queue()
        for runner in self.runners:
            idle.put(runner)

        def attempt(trial: Trial) -> Behaviour:
            runner = idle.get()
            try:
                return runner.run(trial.parts, salt=trial.salt, report=trial.report)
            finally:
                idle.put(runner)

        if len(self.runners) == 1:
            return [attempt(trial) for trial in trials]
        with ThreadPoolExecutor(len(self.runners)) as pool:
            try:
                return list(pool.map(attempt, trials))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for runner in self.runners:
                    runner.stop()
                raise

    def _everywhere(self, fill: Fill, *, report: bool = False) -> Trial:
        """In all memory but that of what was found."""
        parts = (Part(0, fill=fill), *self._known)
        wanted = fill.is_code and (report or fill not in self._residues)
        return Trial(parts, salt=fill.word if wanted else 0, report=report)

    def _with(self, fill: Fill) -> Behaviour:
        """What the program does with that in all memory but that of what was found.

        Other patterns that will be tried are so side by side.
        """
        if fill not in self._tried:
            others = [each for each in map(Fill.parse, self.patterns) if each not in self._tried]
            fills = [fill, *(each for each in others if each != fill)][: len(self.runners)]
            done = self._behaviours([self._everywhere(each) for each in fills])
            for each, behaviour in zip(fills, done, strict=True):
                self._note(each, behaviour)
        return self._tried[fill]

    def _note(self, fill: Fill, behaviour: Behaviour) -> None:
        self._tried[fill] = behaviour
        self._note_residue(fill, behaviour)

    def _note_residue(self, fill: Fill, behaviour: Behaviour, *, reported: bool = False) -> None:
        """Of a run that died what was there then is known only if that was reported."""
        if behaviour.residue is None or (fill in self._residues and not reported):
            return
        self._residues[fill] = behaviour.residue
        self._partial.discard(fill)
        if _died(behaviour) and not reported:
            self._partial.add(fill)

    def _differs(self, behaviour: Behaviour, point: Point | None) -> bool:
        """Whether it is not as in the baseline there."""
        comparison, baseline = self.comparison, self._verdict.baseline
        if point is None:
            return not comparison.same(behaviour, baseline)
        return comparison.at(behaviour, point) != comparison.at(baseline, point)

    # A pattern

    def _pursue(self, name: str) -> None:
        """What makes the program behave otherwise with it, one after the other."""
        verdict, fill = self._verdict, Fill.parse(name)
        self.progress("other patterns", 0)
        behaviour = self._with(fill)
        verdict.behaviours[name] = behaviour
        again: Behaviour | None = None
        while self._differs(behaviour, None):
            if again is None:
                (again,) = self._behaviours([self._everywhere(fill, report=_died(behaviour))])
                if not self._differs(again, None):
                    if self.comparison.learn(verdict.baseline, behaviour):
                        return  # what varies by itself, and did not before
                    verdict.chances.append(Chance(name, behaviour, Shares(1, 0, 2)))
                    return
                if name not in verdict.differing:
                    verdict.differing.append(name)
            case = self._case(name, fill, behaviour, again)
            if case.point is None and self._varies_by_itself(case):
                continue
            culprits = self._isolate(case)
            if culprits is None:
                self._doubt(case)
                return
            finding = self._confirmed(case, culprits)
            if finding is None:
                return
            if not any(finding.is_like(each) for each in verdict.findings):
                verdict.findings.append(finding)
            if len(verdict.findings) >= self.most:
                return
            behaviour, again = self._with(fill), None

    def _case(self, name: str, fill: Fill, behaviour: Behaviour, again: Behaviour) -> Case:
        """By what the error is known: the first of what differs in both runs alike.

        What varies between two runs with the pattern is no reason to leave it out: it may be the
        error.
        """
        comparison, baseline = self.comparison, self._verdict.baseline
        points = comparison.points(baseline, behaviour)
        varies = any(
            comparison.at(behaviour, each) != comparison.at(again, each) for each in points
        )
        self._verdict.unsteady |= varies
        steady = (self._steady(each, behaviour, again) for each in points)
        self._note_residue(fill, again, reported=_died(behaviour))
        died = attrs.evolve(behaviour, events=again.events)
        return Case(name, fill, died, next(filter(None, steady), None))

    def _steady(self, point: Point, one: Behaviour, other: Behaviour) -> Point | None:
        """The point, or a word of that line, if it is so in both, and not in the baseline."""
        at = self.comparison.at
        finer = [point, *self.comparison.words(point, self._verdict.baseline)]
        same = (each for each in finer if at(one, each) == at(other, each))
        return next((each for each in same if self._differs(one, each)), None)

    def _varies_by_itself(self, case: Case) -> bool:
        """Whether another baseline shows that all of it does, as by a clock; else nothing is so."""
        verdict = self._verdict
        (later,) = self._behaviours([_QUIET])
        verdict.unsteady |= not self.comparison.learn(verdict.baseline, later)
        if self._differs(case.behaviour, None):
            return False
        self._withdraw(case)
        return True

    def _doubt(self, case: Case) -> None:
        """Where no allocation is found: whether the pattern makes a difference at all."""
        if self._varies_by_itself(case):
            return
        count = self._confirmations()
        trials = [_QUIET, self._everywhere(case.fill)] * (count - 1)
        differ = [self._differs(each, None) for each in self._behaviours(trials)]
        shares = Shares(1 + sum(differ[1::2]), sum(differ[::2]), count)
        if not shares.agree:
            self._take_back(case, shares)

    def _take_back(self, case: Case, shares: Shares) -> None:
        self._verdict.chances.append(Chance(case.name, case.behaviour, shares))
        self._withdraw(case)

    def _withdraw(self, case: Case) -> None:
        """That the pattern changes the behaviour, unless something was found with it before."""
        verdict = self._verdict
        if not any(each.pattern == case.name for each in verdict.findings):
            verdict.differing.remove(case.name)

    # Confirming

    def _confirmations(self) -> int:
        """How many runs with it and without are to agree: more where anything ever varied."""
        verdict = self._verdict
        varies = self.comparison.has_learned or verdict.chances or verdict.unsteady
        return 6 if varies else 3

    def _confirmed(self, case: Case, found: tuple[Sequence[Culprit], Behaviour]) -> Finding | None:
        """The finding, if runs with the culprits and without agree; else it was chance.

        Of those with it one is known, as is the baseline of those without. In these all other
        memory holds the pattern, or the next ones, which are to be tried so anyway; unless they
        show another error there: then it holds none.
        """
        culprits, alone = found
        finding = Finding(tuple(culprits), case.name, alone, alone.events)
        before = [*self._known]
        self._cover(finding.covered([*self._verdict.findings, finding]))
        self._tried.clear()
        count = self._confirmations()
        self.progress("confirming", 1)
        later = self.patterns[self.patterns.index(case.name) + 1 :]
        fills = ([case.fill, *map(Fill.parse, later)] + [case.fill] * count)[: count - 1]
        acting = Trial(tuple(each.part for each in culprits), report=_died(alone))
        pairs = [(self._everywhere(fill), acting) for fill in fills]
        done = self._behaviours([trial for pair in pairs for trial in pair])
        without = [*zip(fills, done[::2], strict=True)]
        others = sum(self._differs(each, case.point) for _, each in without)
        quiet = self._behaviours([_QUIET] * others)  # another allocation may have the same effect
        shares = Shares(
            1 + sum(self._differs(each, case.point) for each in done[1::2]),
            sum(self._differs(each, case.point) for each in quiet),
            count,
        )
        itself = not shares.agree and self._varies_by_itself(case)
        if not shares.agree:
            self._known = before
            self._tried.clear()
            if not itself:
                self._take_back(case, shares)
            return None
        for fill, behaviour in reversed(without):
            self._note(fill, behaviour)
        events = next((each.events for each in done[1::2] if each.events), ())
        return attrs.evolve(finding, events=events)

    def _cover(self, parts: Iterable[Part]) -> None:
        """These hold zeros from then on; those of one site must not overlap."""
        for part in parts:
            whole = part.last == END
            self._known = [each for each in self._known if not (whole and each.site == part.site)]
            if not any(each.site == part.site and each.last == END for each in self._known):
                self._known.append(attrs.evolve(part, start=0, end=END, fill=ZEROS))

    def _is_known(self, block: Block) -> bool:
        site, number = block
        return any(each.site == site and each.first <= number <= each.last for each in self._known)

    # Isolating

    def _isolate(self, case: Case) -> tuple[list[Culprit], Behaviour] | None:
        """The allocations that make the program behave so, and what it does with them alone."""
        found = self._decoded(case)
        if found is None:
            suspects = self._residue().blocks
            candidates = ranked(self._verdict.baseline.traces, suspects).without(self._known)
            found = self._searched(case, candidates)
        if found is None:
            return None
        parts, alone = found
        if self.exact:
            for index in range(len(parts)):
                parts[index] = self._narrow(case, parts, index)
            alone = self._alone(parts)
        return [self._culprit(part) for part in parts], alone

    def _alone(self, parts: Iterable[Part]) -> Behaviour:
        return self._behaviours([Trial(tuple(parts))])[0]

    # By numbers

    def _residue(self) -> Residue:
        """What was written with neither code; runs that nobody asked for are made for it."""
        for fill in _CODES:
            if fill not in self._residues:
                self._with(fill)
            if fill in self._partial:
                (again,) = self._behaviours([self._everywhere(fill, report=True)])
                self._note_residue(fill, again, reported=True)
        positive, negative = (self._residues[fill] for fill in _CODES)
        return positive.and_of(negative)

    def _unwritten(self, block: Block) -> Unwritten | None:
        """What of it no run has written."""
        found: Unwritten | None = None
        for residue in self._residues.values():
            if block not in residue.blocks:
                return None
            found = found.and_of(residue.blocks[block]) if found else residue.blocks[block]
        return found if found and found.offsets else None

    def _values(self, behaviour: Behaviour) -> dict[bytes, int]:
        """What it did that the baseline did not, as decoding.values has it."""
        baseline = self._verdict.baseline
        found = decoding.values(self.comparison.replaced(baseline, behaviour))
        if behaviour.status != baseline.status and (behaviour.status or 0) > 0:
            found[bytes([behaviour.status or 0])] = 1
        for event in behaviour.events:
            found |= decoding.values([(b"", event.summary.encode())])
        return found

    def _decoded(self, case: Case) -> tuple[list[Part], Behaviour] | None:
        """The allocation that numbers in what the program did lead to."""
        if not case.fill.is_code:
            return None
        values = self._values(case.behaviour)
        found = self._residues[case.fill].find(decoding.telling(values), case.fill.word)
        led = self._led_to(case, found)
        other = next(each for each in _CODES if each != case.fill)
        if led:
            return led
        more = self._values(self._with(other))
        found = self._residues[other].find(decoding.telling(more), other.word)
        led = self._led_to(case, found)
        bytes_ = [{each[0] for each in some if len(each) == 1} for some in (values, more)]
        if led or not all(bytes_):
            return led
        wanted = zip(bytes_, (case.fill.word, other.word), strict=True)
        return self._led_to(case, self._residue().find_bytes([*wanted]))

    def _led_to(
        self, case: Case, found: Mapping[Block, Sequence[Range]]
    ) -> tuple[list[Part], Behaviour] | None:
        """Of the likeliest allocations the one that acts alone, by the bytes that came out."""
        traces = self._verdict.baseline.traces  # what is not there cannot be told of
        sites = {each.identity for trace in traces for each in trace.sites}
        order = sorted(
            (block for block in found if block[0] in sites and not self._is_known(block)),
            key=lambda block: -sum(end - start for start, end in found[block]),
        )
        suspects = [(block, self._unwritten(block)) for block in order]
        for (site, number), unwritten in suspects[:_TRIES]:
            if unwritten is None:
                continue
            told = [
                (max(start, first), min(end, last))
                for start, end in unwritten.ranges
                for first, last in found[site, number]
            ]
            told = [(start, end) for start, end in told if start < end]
            if told:
                start, end = min(told)[0], max(end for _, end in told)
                part = Part(site, number, number, start, end, case.fill)
                alone = self._alone([part])
                if self._differs(alone, case.point):
                    return [part], alone
        return None

    # By groups

    def _searched(self, case: Case, candidates: Candidates) -> tuple[list[Part], Behaviour] | None:
        """The allocations that are needed for it, and what the program does with them alone."""
        left = self._told_apart(case, candidates)
        for among in [left] if left == candidates else [left, candidates]:
            needed = among if len(among) == 1 else self._halved(case, among)
            if needed is None:
                self._verdict.unsteady = True  # or they are needed together with others
                continue
            parts = [self._part(each.site, each.first, case.fill) for each in needed.stretches]
            whole = needed.parts(case.fill)
            for tried in (parts, whole) if parts != whole else (whole,):
                alone = self._alone(tried)
                if self._differs(alone, case.point):
                    return [*tried], alone
            self._verdict.unsteady = True
        return None

    def _part(self, site: int, number: int, fill: Fill) -> Part:
        """What of it was never written, or all."""
        unwritten = self._unwritten((site, number))
        if unwritten is None:
            return Part(site, number, number, fill=fill)
        ranges = unwritten.ranges
        return Part(site, number, number, ranges[0][0], ranges[-1][1], fill)

    def _references(self, case: Case, count: int) -> dict[object, Fill]:
        """By what the program does with them there, fills that are told apart so."""
        comparison, point = self.comparison, case.point
        if point is None or not case.fill.is_code:
            return {None if point is None else comparison.at(case.behaviour, point): case.fill}
        found: dict[object, Fill] = {}
        other = next(each for each in _CODES if each != case.fill)
        fills = [case.fill, other]
        for fill in fills:
            behaviour = case.behaviour if fill == case.fill else self._with(fill)
            if self._differs(behaviour, point):
                found.setdefault(comparison.at(behaviour, point), fill)
            if fill == other and len(found) == len(fills) and count > _MANY:
                fills.append(_THIRD_CODE)  # more would take more runs than they save
        return found

    def _told_apart(self, case: Case, left: Candidates) -> Candidates:
        """The one whose code leads to what the program does; more where that is not told.

        Each group but the last one gets a code of its own. Side by side go runs for further digits
        of a candidate's place.
        """
        comparison, point = self.comparison, case.point
        fills = self._references(case, len(left))
        told = [*fills]
        base = len(fills) + 1
        while len(left) > 1 and point is not None:
            self.progress("telling allocations apart", len(left))
            digits = min(len(self.runners), math.ceil(math.log(len(left), base)))
            cells = left.groups(base**digits)
            trials = []
            for digit in range(digits):
                chosen = [(place // base**digit % base, cell) for place, cell in enumerate(cells)]
                parts = (
                    part
                    for which, cell in chosen
                    if which < len(told)
                    for part in cell.parts(fills[told[which]])
                )
                trials.append(Trial(tuple(parts)))
            place = 0
            for digit, behaviour in enumerate(self._behaviours(trials)):
                did = comparison.at(behaviour, point)
                if did not in fills and self._differs(behaviour, point):
                    return left
                place += base**digit * (told.index(did) if did in fills else len(told))
            if place >= len(cells):
                return left
            left = cells[place]
        return left

    def _halved(self, case: Case, left: Candidates) -> Candidates | None:
        """A smallest set of them with which the program differs; None where none does alone.

        The shortest front of the candidates that does ends with one that is needed; if it is not
        enough with those found so far, the rest of what is needed comes before it.
        """
        needed = Candidates(())
        while left.stretches and self._differs_with(case, [needed + left])[0]:
            low, high = 0, len(left)
            while high - low > 1:
                self.progress("bisecting allocations", high - low)
                among = left.cut(high)[0].cut(low)[1]
                groups = among.groups(len(self.runners) + 1)[:-1]
                ends = [low + sum(map(len, groups[: count + 1])) for count in range(len(groups))]
                ends = [end for end in ends if end < high] or [high - 1]
                fronts = [needed + left.cut(end)[0] for end in ends]
                for end, differs in zip(ends, self._differs_with(case, fronts), strict=True):
                    if differs:
                        high = min(high, end)
                    elif end < high:
                        low = end
            front, _ = left.cut(high)
            left, last = front.cut(high - 1)
            needed += last
            if not left.stretches or self._differs_with(case, [needed])[0]:
                return needed
        return None

    def _differs_with(self, case: Case, sets: Sequence[Candidates]) -> list[bool]:
        done = self._behaviours([Trial(tuple(each.parts(case.fill))) for each in sets])
        return [self._differs(each, case.point) for each in done]

    # Bytes

    def _narrow(self, case: Case, parts: list[Part], index: int) -> Part:
        """A part cut down to the bytes that matter, the others as they are.

        The first byte that matters is the last of the shortest front that does, and the last one
        is the first of the shortest back; or where bytes matter only together, the other way round.
        They are mostly near each other.
        """
        part = parts[index]
        first, most = part.start, min(part.end, self._site(part.site)[1].largest)

        def differ(ranges: Iterable[Range]) -> list[bool]:
            trials = []
            for start, end in ranges:
                cut = attrs.evolve(part, start=start, end=end)
                trials.append(Trial((*parts[:index], cut, *parts[index + 1 :])))
            done = self._behaviours(trials)
            return [self._differs(each, case.point) for each in done]

        def fronts(lengths: Sequence[int]) -> list[bool]:
            return differ((first, first + length) for length in lengths)

        def backs(lengths: Sequence[int]) -> list[bool]:
            return differ((most - length, most) for length in lengths)

        front = first + self._least(1, most - first, fronts) - 1
        short, long = 0, most - front  # of a back that does not matter, and of one that does
        step = 1
        if backs([long])[0]:
            while step < long and backs([long - step])[0]:
                long, step = long - step, 2 * step
            short = max(long - step, 0)
        else:
            while long < most - first and not backs([min(long + step, most - first)])[0]:
                long, step = min(long + step, most - first), 2 * step
            if long == most - first:  # not even all of it does any more
                return part
            short, long = long, min(long + step, most - first)
        back = most - self._least(short + 1, long, backs)
        return attrs.evolve(part, start=min(front, back), end=max(front, back) + 1)

    def _least(self, low: int, high: int, hold: Callable[[Sequence[int]], list[bool]]) -> int:
        """The least number from `low` to `high` for which it holds, as it does for `high`."""
        while low < high:
            self.progress("narrowing bytes", high - low + 1)
            count = min(len(self.runners), high - low)
            tried = sorted({low + (high - low) * i // (count + 1) for i in range(1, count + 1)})
            holding = [number for number, holds in zip(tried, hold(tried), strict=True) if holds]
            high = min(holding, default=high)
            low = max((number + 1 for number in tried if number < high), default=low)
        return low

    # Explaining

    def _site(self, identity: int) -> tuple[Trace, Site]:
        return next(
            (trace, site)
            for trace in self._verdict.baseline.traces
            for site in trace.sites
            if site.identity == identity
        )

    def _culprit(self, part: Part) -> Culprit:
        trace, site = self._site(part.site)
        unwritten = self._unwritten((part.site, part.first))
        ranges = unwritten.ranges if unwritten else ()
        cut = ((max(start, part.start), min(end, part.end)) for start, end in ranges)
        return Culprit(
            part,
            tuple((start, end) for start, end in cut if start < end),
            site,
            trace.modules,
            unwritten.size if unwritten else None,
            self._python_stack(trace, part),
        )

    def _python_stack(self, trace: Trace, part: Part) -> str:
        """By stopping there, in a Python process: its faulthandler tells."""
        if not _is_python(trace):
            return ""
        self.progress("asking Python", 1)
        stopped = self.runners[0].run(stop=(part.site, part.first))
        said = next(output.content for output in stopped.outputs if output.name == "stderr")
        text = said.decode(errors="replace")
        match = re.search(r"(?:Current thread|Stack) .*\n((?:  File .*\n)+)", text)
        return match.group(1) if match else ""
