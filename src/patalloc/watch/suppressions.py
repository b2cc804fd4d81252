"""Suppressions: errors that are known, and not to be told again."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import PurePath
from typing import Self

import attrs

from patalloc.watch.events import Event
from patalloc.watch.formats import place
from patalloc.watch.symbols import Location, locate_in


@attrs.frozen
class Suppression:
    """A line of a file of suppressions: KIND:NAME.

    Attributes:
        kind: of the event, a pattern as the shell has it (fnmatch(3)).
        name: likewise, of a function on the stack of the access or of the allocation, or of the
            file that its code is from.
    """

    kind: str
    name: str

    @classmethod
    def parse(cls, line: str) -> Self:
        """Raises ValueError where the line is none."""
        kind, colon, name = line.strip().partition(":")
        if not (kind and colon and name):
            raise ValueError(f"{line.strip()!r}: no suppression; allowed: KIND:NAME")
        return cls(kind, name)

    def covers(self, event: Event) -> bool:
        """Whether it is about this event."""
        names = (name for location in _locations(event) for name in _names(location))
        return fnmatchcase(event.kind, self.kind) and any(fnmatchcase(n, self.name) for n in names)

    def __str__(self) -> str:
        """The line."""
        return f"{self.kind}:{self.name}"


def _locations(event: Event) -> Iterator[Location]:
    yield from locate_in(event.stack, event.modules)
    if event.block and event.block.allocated:
        yield from locate_in(event.block.allocated.stack, event.modules)


def _names(location: Location) -> Iterator[str]:
    if location.function:
        yield location.function
    if location.module:
        yield PurePath(location.module).name


def read(lines: Iterable[str]) -> list[Suppression]:
    """Those of a file; empty lines, and those that start with #, are left out.

    Raises:
        ValueError: a line is none.
    """
    return [Suppression.parse(line) for line in lines if line.strip() and line.strip()[0] != "#"]


def suppression_for(event: Event) -> Suppression:
    """One that covers this event and those that are like it: by the program's own function."""
    where = place(event) or next(_locations(event), None)
    return Suppression(event.kind, next(_names(where), "*") if where else "*")
