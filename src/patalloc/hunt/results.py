"""What a hunt finds."""

from collections.abc import Sequence
from pathlib import Path

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
        told = self.findings or self.chances or self.unstable
        return not (self.differs or told or self.interrupted)
