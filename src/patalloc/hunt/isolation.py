"""Which allocations are behind what a program does otherwise with a pattern.

Most patterns are a code, by which each word tells whose it is, so that a number in what the program
did leads to its allocation. Else those that were never written are told apart by halves, or by more
groups than two where each group's own code leads to a behaviour of its own.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from patalloc.hunt import decoding
from patalloc.hunt.candidates import Candidates, ranked
from patalloc.hunt.comparison import Point
from patalloc.hunt.residue import Block, Range
from patalloc.hunt.results import Culprit
from patalloc.hunt.runs import Behaviour
from patalloc.hunt.selection import CODES, ZEROS, Fill, Part
from patalloc.hunt.trials import PAIR, Trial, Trials

_THIRD_CODE = Fill(max(CODES.values()) + 1, 0)
_MANY = 500  # candidates, of which groups are told apart by a third code, too
_TRIES = 2  # of allocations that numbers in the output lead to


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


@attrs.frozen
class Isolated:
    """What makes the program behave so.

    Attributes:
        culprits: the allocations. alone: what the program does with them alone.
        told: whether what the program did told of them, which chance does not do; else they were
            found by runs that differed.
    """

    culprits: tuple[Culprit, ...]
    alone: Behaviour
    told: bool


@attrs.frozen
class Isolation:
    """Of one case.

    Attributes:
        trials: makes the runs. case: what is looked for. exact: whether to find out which bytes of
            an allocation matter.
    """

    trials: Trials
    case: Case
    exact: bool

    def culprits(self) -> Isolated | None:
        """The allocations that make the program behave so."""
        decoded = found = self._decoded()
        if found is None:
            suspects = self.trials.residue_of_both().blocks
            candidates = ranked(self.trials.baseline.traces, suspects).without(self.trials.known)
            found = self._searched(candidates)
        if found is None:
            return None
        parts, alone = found
        if self.exact:
            lengths = [end - start for start, end in map(self._stretch, parts)]
            halvings = sum(2 * length.bit_length() for length in lengths)
            narrowed = [*parts]
            with self.trials.served(parts, halvings // self.trials.width):
                for index in range(len(narrowed)):
                    narrowed[index] = self._narrow(narrowed, index)
            exactly = self.trials.alone(narrowed)
            if self.trials.differs(exactly, self.case.point):
                parts, alone = narrowed, exactly
        return Isolated(tuple(map(self._culprit, parts)), alone, bool(decoded))

    def _values(self, behaviour: Behaviour) -> dict[bytes, int]:
        """What it did that the baseline did not, as decoding.values has it."""
        baseline = self.trials.baseline
        found = decoding.values(self.trials.comparison.replaced(baseline, behaviour))
        if behaviour.status != baseline.status and (behaviour.status or 0) > 0:
            found[bytes([behaviour.status or 0])] = 1
        for event in behaviour.events:
            found |= decoding.values([(b"", event.summary.encode())])
        return found

    def _decoded(self) -> tuple[list[Part], Behaviour] | None:
        """The allocation that numbers in what the program did lead to."""
        if not self.case.fill.is_code:
            return None
        values = self._values(self.case.behaviour)
        found = self.trials.residue(self.case.fill).find(
            decoding.telling(values), self.case.fill.word
        )
        led = self._led_to(found)
        other = next(each for each in PAIR if each != self.case.fill)
        if led:
            return led
        more = self._values(self.trials.with_fill(other))
        found = self.trials.residue(other).find(decoding.telling(more), other.word)
        led = self._led_to(found)
        bytes_ = [{each[0] for each in some if len(each) == 1} for some in (values, more)]
        if led or not all(bytes_):
            return led
        wanted = zip(bytes_, (self.case.fill.word, other.word), strict=True)
        return self._led_to(self.trials.residue_of_both().find_bytes([*wanted]))

    def _led_to(
        self, found: Mapping[Block, Sequence[Range]]
    ) -> tuple[list[Part], Behaviour] | None:
        """Of the likeliest allocations the one that acts alone, by the bytes that came out."""
        traces = self.trials.baseline.traces  # what is not there cannot be told of
        sites = {each.identity for trace in traces for each in trace.sites}
        order = sorted(
            (block for block in found if block[0] in sites and not self.trials.is_known(block)),
            key=lambda block: -sum(end - start for start, end in found[block]),
        )
        suspects = [(block, self.trials.unwritten(block)) for block in order]
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
                part = Part(site, number, number, start, end, self.case.fill)
                alone = self.trials.alone([part])
                if self.trials.differs(alone, self.case.point):
                    return [part], alone
        return None

    # By groups

    def _searched(self, candidates: Candidates) -> tuple[list[Part], Behaviour] | None:
        """The allocations that are needed for it, and what the program does with them alone."""
        left = self._told_apart(candidates)
        for among in [left] if left == candidates else [left, candidates]:
            needed = among if len(among) == 1 else self._halved(among)
            if needed is None:
                self.trials.unsteady = True  # or they are needed together with others
                continue
            parts = [self._part(each.site, each.first, self.case.fill) for each in needed.stretches]
            whole = needed.parts(self.case.fill)
            for tried in (parts, whole) if parts != whole else (whole,):
                alone = self.trials.alone(tried)
                if self.trials.differs(alone, self.case.point):
                    return [*tried], alone
            self.trials.unsteady = True
        return None

    def _part(self, site: int, number: int, fill: Fill) -> Part:
        """What of it was never written, or all."""
        unwritten = self.trials.unwritten((site, number))
        if unwritten is None:
            return Part(site, number, number, fill=fill)
        ranges = unwritten.ranges
        return Part(site, number, number, ranges[0][0], ranges[-1][1], fill)

    def _references(self, count: int) -> dict[object, Fill]:
        """By what the program does with them there, fills that are told apart so."""
        comparison, point = self.trials.comparison, self.case.point
        if point is None or not self.case.fill.is_code:
            return {
                None if point is None else comparison.at(self.case.behaviour, point): self.case.fill
            }
        found: dict[object, Fill] = {}
        other = next(each for each in PAIR if each != self.case.fill)
        fills = [self.case.fill, other]
        for fill in fills:
            behaviour = (
                self.case.behaviour if fill == self.case.fill else self.trials.with_fill(fill)
            )
            if self.trials.differs(behaviour, point):
                found.setdefault(comparison.at(behaviour, point), fill)
            if fill == other and len(found) == len(fills) and count > _MANY:
                fills.append(_THIRD_CODE)  # more would take more runs than they save
        return found

    def _told_apart(self, left: Candidates) -> Candidates:
        """The one whose code leads to what the program does; more where that is not told."""
        fills = self._references(len(left))
        if not fills:  # it was chance: none of them shows
            return left
        base, among = len(fills) + 1, self._among(left, fills, 1)
        if len(among) < 2 or len(among) == len(left):
            return among
        rounds = math.ceil(math.log(len(among), base) / self.trials.width)
        with self.trials.served(among.parts(ZEROS), rounds):
            return self._among(among, fills, len(among))

    def _among(self, left: Candidates, fills: Mapping[object, Fill], rounds: int) -> Candidates:
        """Those that are left after so many rounds at most.

        Each group but the last one gets a code of its own. Side by side go runs for further digits
        of a candidate's place.
        """
        comparison, point = self.trials.comparison, self.case.point
        told = [*fills]
        base = len(fills) + 1
        for _ in range(rounds):
            if len(left) < 2 or point is None:
                break
            self.trials.progress("telling allocations apart", len(left))
            digits = min(self.trials.width, math.ceil(math.log(len(left), base)))
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
                trials.append(Trial(tuple(parts), until=comparison.line_of(point)))
            place = 0
            for digit, behaviour in enumerate(self.trials.run(trials)):
                did = comparison.at(behaviour, point)
                if did not in fills and self.trials.differs(behaviour, point):
                    return left
                place += base**digit * (told.index(did) if did in fills else len(told))
            if place >= len(cells):
                return left
            left = cells[place]
        return left

    def _halved(self, left: Candidates) -> Candidates | None:
        """A smallest set of them with which the program differs; None where none does alone.

        The shortest front of the candidates that does ends with one that is needed; if it is not
        enough with those found so far, the rest of what is needed comes before it.
        """
        needed = Candidates(())
        while left.stretches and self._differs_with([needed + left])[0]:
            low, high = 0, len(left)
            while high - low > 1:
                self.trials.progress("bisecting allocations", high - low)
                among = left.cut(high)[0].cut(low)[1]
                groups = among.groups(self.trials.width + 1)[:-1]
                ends = [low + sum(map(len, groups[: count + 1])) for count in range(len(groups))]
                ends = [end for end in ends if end < high] or [high - 1]
                fronts = [needed + left.cut(end)[0] for end in ends]
                for end, differs in zip(ends, self._differs_with(fronts), strict=True):
                    if differs:
                        high = min(high, end)
                    elif end < high:
                        low = end
            front, _ = left.cut(high)
            left, last = front.cut(high - 1)
            needed += last
            if not left.stretches or self._differs_with([needed])[0]:
                return needed
        return None

    def _differs_with(self, sets: Sequence[Candidates]) -> list[bool]:
        until = self.trials.comparison.line_of(self.case.point)
        parts = [tuple(each.parts(self.case.fill)) for each in sets]
        done = self.trials.run([Trial(each, until=until) for each in parts])
        return [self.trials.differs(each, self.case.point) for each in done]

    # Bytes

    def _stretch(self, part: Part) -> Range:
        return part.start, min(part.end, self.trials.site(part.site)[1].largest)

    def _narrow(self, parts: list[Part], index: int) -> Part:
        """A part cut down to the bytes that matter, the others as they are.

        The first byte that matters is the last of the shortest front that does, and the last one
        is the first of the shortest back; or where bytes matter only together, the other way round.
        They are mostly near each other.
        """
        part = parts[index]
        first, most = self._stretch(part)

        def differ(ranges: Iterable[Range]) -> list[bool]:
            trials, until = [], self.trials.comparison.line_of(self.case.point)
            for start, end in ranges:
                cut = attrs.evolve(part, start=start, end=end)
                trials.append(Trial((*parts[:index], cut, *parts[index + 1 :]), until=until))
            done = self.trials.run(trials)
            return [self.trials.differs(each, self.case.point) for each in done]

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
            self.trials.progress("narrowing bytes", high - low + 1)
            count = min(self.trials.width, high - low)
            tried = sorted({low + (high - low) * i // (count + 1) for i in range(1, count + 1)})
            holding = [number for number, holds in zip(tried, hold(tried), strict=True) if holds]
            high = min(holding, default=high)
            low = max((number + 1 for number in tried if number < high), default=low)
        return low

    # Explaining

    def _culprit(self, part: Part) -> Culprit:
        trace, site = self.trials.site(part.site)
        unwritten = self.trials.unwritten((part.site, part.first))
        ranges = unwritten.ranges if unwritten else ()
        cut = ((max(start, part.start), min(end, part.end)) for start, end in ranges)
        return Culprit(
            part,
            tuple((start, end) for start, end in cut if start < end),
            site,
            trace.modules,
            unwritten.size if unwritten else None,
        )
