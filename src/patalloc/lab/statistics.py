"""What runs in rounds tell: ratios to a baseline within each round, intervals, verdicts.

A machine that others use is slow for a while, and then for all points of a round; so what is
compared is what a point took beside what the baseline took in the same round. Nothing is assumed
of how ratios are distributed: the interval of their median is that of order statistics (David and
Nagaraja, Order Statistics, 3rd edition, 2003, 7.1), and a difference is tested by signs.
"""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from statistics import median

import attrs

LEVEL = 0.95


class Verdict(StrEnum):
    """What is known of a point."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "the same"
    UNKNOWN = "not known yet"


def _tail(count: int, most: int) -> float:
    """The chance of at most so many heads in `count` tosses of a coin."""
    return float(sum(math.comb(count, heads) for heads in range(most + 1)) / 2**count)


@attrs.frozen
class Interval:
    """Of a median.

    Attributes:
        low: its lower end. high: its upper one; infinite where there are too few values.
        median: of the values.
    """

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float], level: float = LEVEL) -> "Interval":
        """Of one value or more; it covers the true median with that probability, or more."""
        ordered = sorted(values)
        left_out = -1  # values at each end
        while left_out + 1 < len(ordered) / 2 and (
            2 * _tail(len(ordered), left_out + 1) <= 1 - level
        ):
            left_out += 1
        if left_out < 0:
            return cls(0, median(ordered), math.inf)
        return cls(ordered[left_out], median(ordered), ordered[-1 - left_out])

    @property
    def width(self) -> float:
        """From end to end, as a share of the median; infinite where that is 0."""
        return (self.high - self.low) / self.median if self.median else math.inf


def sign_test(ratios: Sequence[float]) -> float:
    """How likely signs are as one-sided as these where the median is 1 (two-sided)."""
    below, above = (sum(1 for each in ratios if sign * (each - 1) > 0) for sign in (-1, 1))
    return min(1.0, 2 * _tail(below + above, min(below, above)))


def holm(chances: Sequence[float]) -> list[float]:
    """The same, so that of all that are below a level none is by chance, with that level.

    Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    adjusted = [1.0] * len(chances)
    highest = 0.0
    for place, index in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        highest = max(highest, min(1.0, chances[index] * (len(chances) - place)))
        adjusted[index] = highest
    return adjusted


@attrs.frozen
class Comparison:
    """A point's ratios to the baseline.

    Attributes:
        ratios: one a round. interval: of their median.
        chance: that signs are so where there is no difference; of several points adjusted.
        margin: what difference does not matter, as a share.
        among: how many points are compared, for which the chance is adjusted.
    """

    ratios: tuple[float, ...]
    interval: Interval
    chance: float
    margin: float
    among: int = 1

    @property
    def verdict(self) -> Verdict:
        """Lower is better."""
        if self.interval.low > 1 / (1 + self.margin) and self.interval.high < 1 + self.margin:
            return Verdict.SAME
        if self.chance <= 1 - LEVEL and self.interval.high < 1:
            return Verdict.BETTER
        if self.chance <= 1 - LEVEL and self.interval.low > 1:
            return Verdict.WORSE
        return Verdict.UNKNOWN

    @property
    def rounds_needed(self) -> int:
        """About how many more there have to be until something is known; 0: it is, or who knows.

        An interval's width goes by the root of the number of rounds; and no difference is sure
        before so many signs can be alike by chance.
        """
        if self.verdict != Verdict.UNKNOWN or not self.ratios:
            return 0
        count = len(self.ratios)
        fewest = math.ceil(1 + math.log2(self.among / (1 - LEVEL))) - count
        if math.isinf(self.interval.high):
            return max(fewest, 1)
        if self.interval.low <= 0:
            return 0
        away = abs(math.log(self.interval.median))
        wanted = max(away, math.log1p(self.margin) - away)
        half = math.log(self.interval.high / self.interval.low) / 2
        return max(1, fewest, math.ceil(count * ((half / wanted) ** 2 - 1)))


def compared(ratios: Mapping[str, Sequence[float]], margin: float = 0.01) -> dict[str, Comparison]:
    """Each point's, by its name, and what is known of it beside the others."""
    known = {name: each for name, each in ratios.items() if each}
    chances = holm([sign_test(each) for each in known.values()])
    return {
        name: Comparison(tuple(each), Interval.of(each), chance, margin, len(known))
        for (name, each), chance in zip(known.items(), chances, strict=True)
    }
