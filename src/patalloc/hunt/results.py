"""What a hunt finds."""

import math
from pathlib import Path
from statistics import NormalDist

import attrs

from patalloc.hunt.comparison import Comparison
from patalloc.hunt.residue import Range
from patalloc.hunt.runs import Behaviour
from patalloc.hunt.selection import Part
from patalloc.hunt.trace import Site
from patalloc.watch import Event, Module


@attrs.frozen
class Culprit:
    """An allocation that the program reads before it has written it.

    Attributes:
        part: the allocation, and from its first to its last byte that is told of: to the end where
            Part.end is END.
        bytes: which of them were never written; empty where that is not known, as where they are
            written later.
        site: its call stack.
        modules: the files that the stack's code is from.
        size: the allocation's, where it is known.
        python: the Python frames that led to it, as faulthandler prints them; empty elsewhere.
    """

    part: Part
    bytes: tuple[Range, ...]
    site: Site
    modules: tuple[Module, ...]
    size: int | None = None
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


CONFIDENCE = 0.999  # as several patterns are tried, and no program is to be accused by chance
_DEVIATIONS = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def _wilson(count: int, total: int) -> tuple[float, float, float]:
    """A share, and the bounds of its interval."""
    share, square = count / total, _DEVIATIONS**2
    middle = (share + square / (2 * total)) / (1 + square / total)
    spread = math.sqrt(share * (1 - share) / total + square / (4 * total**2))
    half = _DEVIATIONS * spread / (1 + square / total)
    return share, middle - half, middle + half


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

    @property
    def interval(self) -> tuple[float, float]:
        """Of how much more often it is with the pattern, from -1 to 1, at CONFIDENCE.

        Newcombe's by Wilson's scores (Statistics in Medicine 17, 1998, method 10).
        """
        if not self.runs:
            return -1.0, 1.0
        share, low, high = _wilson(self.different, self.runs)
        other, other_low, other_high = _wilson(self.different_without, self.runs)
        more = share - other
        return (
            more - math.hypot(share - low, other_high - other),
            more + math.hypot(high - share, other - other_low),
        )

    @property
    def is_sure(self) -> bool:
        """Whether the pattern makes it more or less frequent, at CONFIDENCE.

        It is less where the first run, which others are compared with, happened to be a rare one.
        """
        low, high = self.interval
        return low > 0 or high < 0


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
        chances: what differed once, and was not confirmed; where nothing was hunted, how often the
            program is not as in the baseline.
        written: files in the working folder that the program wrote, and that were not compared.
        allocations: how many were looked at, bytes: of how many bytes, sites: of how many stacks.
        runs: of the program so far; seconds: since the hunt began.
        interrupted: whether it was cut short.
        pymalloc: whether CPython had the pool that it has in front of malloc.
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
    pymalloc: bool = True

    @property
    def differs(self) -> bool:
        """Whether some pattern changes the behaviour."""
        return bool(self.differing)

    @property
    def is_sure(self) -> bool:
        """Whether some pattern makes what is a matter of chance more or less frequent."""
        return any(chance.shares.is_sure for chance in self.chances)

    @property
    def is_clean(self) -> bool:
        """Whether all was the same, as far as it was looked at."""
        told = self.findings or self.chances or self.unstable
        return not (self.differs or told or self.interrupted)
