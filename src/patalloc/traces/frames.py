"""Call stacks of traces, with names."""

from collections.abc import Iterator
from functools import cache
from pathlib import PurePath

import attrs

from patalloc.traces.file import Trace, named
from patalloc.watch import Module
from patalloc.watch.symbols import Location, locate


def label(location: Location) -> str:
    """A function, or what can be said instead."""
    if location.function:
        return location.function
    if location.module:
        return f"{PurePath(location.module).name}+{location.offset:#x}"
    return "code from no file"


class Frames:
    """The names of a trace's frames, each looked up when it is first asked for."""

    def __init__(self, trace: Trace) -> None:
        """Of that trace."""
        self._trace = trace
        self._locate = cache(self._looked_up)

    def _module(self, address: int) -> Module | None:
        modules = self._trace.modules
        return next((each for each in modules if each.start <= address < each.end), None)

    def _looked_up(self, address: int) -> tuple[Location, ...]:
        if call := named(address):
            number, line = call
            file, function = self._trace.names.get(number, ("", ""))
            return (Location(function or "?", file or None, line or None, None, 0),)
        return tuple(locate(self._module(address), address))

    def at(self, address: int) -> tuple[Location, ...]:
        """Where an address is: the innermost inlined function first."""
        return self._locate(address)

    @staticmethod
    def is_python(location: Location) -> bool:
        """Whether it is a call of Python's: code that has a name lies in a file, else."""
        return location.module is None and location.function is not None

    def of(self, stack: int) -> Iterator[Location]:
        """The frames of a call stack by its number, the innermost first."""
        known = self._trace.stacks
        for address in known[stack] if stack < len(known) else ():
            yield from self.at(address)

    def names(self, stack: int) -> list[str]:
        """Their labels; one that says so where the stack is not known."""
        return [label(each) for each in self.of(stack)] or ["no call stack"]


@attrs.define
class Node:
    """A frame of a tree of call stacks.

    Attributes:
        name: of the function. value: its own and its callees' together.
        callees: by name.
    """

    name: str
    value: int = 0
    callees: dict[str, "Node"] = attrs.field(factory=dict)

    def add(self, names: list[str], value: int) -> None:
        """Add a stack, the outermost first."""
        node = self
        node.value += value
        for name in names:
            node = node.callees.setdefault(name, Node(name))
            node.value += value
