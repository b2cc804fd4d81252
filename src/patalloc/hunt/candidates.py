"""Candidates: the allocations that a hunt suspects, in order, with weights."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import attrs

from patalloc.hunt.residue import Block
from patalloc.hunt.selection import Fill, Part
from patalloc.hunt.trace import Trace

_REST = 0.1  # the weight of all that is no suspect, of that of the suspects


@attrs.frozen
class Stretch:
    """Allocations of one call stack, one after the other.

    Attributes:
        site: the call stack.
        first: the number of the first one; last: of the last one.
        weight: of each: how likely it is the one that is looked for.
    """

    site: int
    first: int
    last: int
    weight: float

    def __len__(self) -> int:
        """How many they are."""
        return self.last - self.first + 1

    @property
    def total(self) -> float:
        """The weight of all."""
        return self.weight * len(self)

    def cut(self, count: int) -> tuple["Stretch", "Stretch"]:
        """The first so many, and the others; both have some."""
        middle = self.first + count
        return attrs.evolve(self, last=middle - 1), attrs.evolve(self, first=middle)


@attrs.frozen
class Candidates:
    """Allocations, the likeliest first."""

    stretches: tuple[Stretch, ...]

    def __len__(self) -> int:
        """How many allocations they are."""
        return sum(len(each) for each in self.stretches)

    def __add__(self, other: "Candidates") -> "Candidates":
        """Both; they must not overlap."""
        return Candidates(self.stretches + other.stretches)

    def parts(self, fill: Fill) -> list[Part]:
        """All of their bytes, with that."""
        return [Part(each.site, each.first, each.last, fill=fill) for each in self.stretches]

    def cut(self, length: int) -> tuple["Candidates", "Candidates"]:
        """The first so many, and the others."""
        first: list[Stretch] = []
        rest = [*self.stretches]
        while rest and length:
            each = rest.pop(0)
            if len(each) > length:
                each, behind = each.cut(length)
                rest.insert(0, behind)
            first.append(each)
            length -= len(each)
        return Candidates(tuple(first)), Candidates(tuple(rest))

    def without(self, known: Iterable[Part]) -> "Candidates":
        """Those that are not among these parts, whatever bytes of an allocation they are."""
        left = self.stretches
        for out in known:
            left = tuple(piece for each in left for piece in _subtracted(each, out))
        return Candidates(left)

    def groups(self, count: int) -> list["Candidates"]:
        """So many groups of about the same weight, in order; fewer where there are fewer."""
        groups: list[Candidates] = []
        rest = self
        while rest.stretches and len(groups) < count - 1:
            goal = sum(each.total for each in rest.stretches) / (count - len(groups))
            group, rest = rest.cut(rest._lightest(goal))
            groups.append(group)
        return [*groups, rest] if rest.stretches else groups

    def _lightest(self, goal: float) -> int:
        """How many in front have about so much weight; one at least."""
        count, weight = 0, 0.0
        for each in self.stretches:
            if weight + each.total >= goal:
                return max(1, count + round((goal - weight) / each.weight))
            count += len(each)
            weight += each.total
        return count


def _subtracted(each: Stretch, out: Part) -> Iterator[Stretch]:
    if each.site != out.site or each.last < out.first or out.last < each.first:
        yield each
        return
    if each.first < out.first:
        yield attrs.evolve(each, last=out.first - 1)
    if out.last < each.last:
        yield attrs.evolve(each, first=out.last + 1)


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """From the first to the last one of those that follow on each other."""
    for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        yield run[0], run[-1]


def _counts(traces: Iterable[Trace]) -> dict[int, int]:
    """By call stack how many allocations there are, in the order in which they began."""
    found: dict[int, int] = {}
    for trace in traces:
        for site in trace.sites:
            found[site.identity] = max(found.get(site.identity, 0), site.allocations)
    return found


def _others(numbers: Iterable[int], most: int) -> Iterator[tuple[int, int]]:
    """What lies between them, from 1 to that."""
    at = 1
    for number in (*numbers, most + 1):
        if at < number:
            yield at, number - 1
        at = number + 1


def ranked(traces: Iterable[Trace], suspects: Iterable[Block]) -> Candidates:
    """All allocations: suspects in front, and of them those of stacks that came last.

    A program's own code runs late, and what it runs in begins with many blocks that it never
    writes in full.
    """
    counts = _counts(traces)
    by_site: dict[int, list[int]] = {}
    for site, number in suspects:
        if number <= counts.get(site, 0):
            by_site.setdefault(site, []).append(number)
    front = [site for site in reversed(counts) if site in by_site]
    likely = [
        Stretch(site, first, last, 1 / rank / len(by_site[site]))
        for rank, site in enumerate(front, 1)
        for first, last in _runs(sorted(by_site[site]))
    ]
    rest = [
        Stretch(site, first, last, 1 / rank / counts[site])
        for rank, site in enumerate(reversed(counts), 1)
        for first, last in _others(sorted(by_site.get(site, ())), counts[site])
    ]
    share = _REST * sum(each.total for each in likely) or 1.0
    scale = share / (sum(each.total for each in rest) or 1.0)
    rest = [attrs.evolve(each, weight=each.weight * scale) for each in rest]
    return Candidates((*likely, *rest))
