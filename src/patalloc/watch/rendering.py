"""Events as text for people, with the functions and source lines on their stacks."""

from collections.abc import Iterator

from patalloc.watch.description import Description
from patalloc.watch.events import Event, HeapBlock, Module, Moment, Register
from patalloc.watch.symbols import Location, locate


def render_place(location: Location) -> str:
    """A function, and where it is, as far as that is known."""
    place = f"{location.module}+{location.offset:#x}"
    if location.function is None:
        return place if location.module else f"{location.offset:#x} (code from no file)"
    if location.file is None:
        return f"{location.function} ({place})" if location.module else location.function
    module = f" ({location.module})" if location.module else ""
    return f"{location.function} at {location.file}:{location.line or '?'}{module}"


def render_stack(stack: tuple[int, ...], modules: tuple[Module, ...]) -> Iterator[str]:
    """A call stack as lines, the innermost first; inlined functions have no number."""
    for number, address in enumerate(stack):
        module = next((each for each in modules if each.start <= address < each.end), None)
        for inlined, location in enumerate(locate(module, address)):
            mark = f"#{number}" if inlined == 0 else " " * (1 + len(str(number)))
            yield f"    {mark} {render_place(location)}"


def _stack_of(event: Event) -> Iterator[str]:
    """That of the access or call, which may lack some in its middle."""
    number = 0
    for line in render_stack(event.stack, event.modules):
        if event.left_out and line.startswith("    #"):
            if number == event.left_out_before:
                yield f"    ... {event.left_out:,} calls left out"
            number += 1
        yield line


def _during(note: str) -> str:
    return f", during {note}" if note else ""


def _moment(modules: tuple[Module, ...], what: str, moment: Moment | None) -> Iterator[str]:
    if moment is None:
        return
    when = (
        f"{moment.age_ms} ms before"
        if moment.after_ms is None
        else f"{moment.after_ms} ms after the start"
    )
    by = "" if moment.thread is None else f" by thread {moment.thread}, {when}"
    more = moment.stack or moment.python
    yield f"  {what}{by}{_during(moment.note)}{':' if more else ''}"
    yield from moment.python.splitlines()
    yield from render_stack(moment.stack, modules)


def _moments(modules: tuple[Module, ...], block: HeapBlock | None) -> Iterator[str]:
    if block:
        yield from _moment(modules, "allocated", block.allocated)
        yield from _moment(modules, "freed", block.freed)


_PLACES = {"before": "before", "inside": "into", "after": "past the end of"}


def _article(number: int) -> str:
    first = int(f"{number:,}".partition(",")[0])
    return "an" if first in (8, 11, 18) or str(first)[0] == "8" else "a"


def _place(place: str, distance: int, block: HeapBlock) -> str:
    was = "" if block.state == "live" else "what was "
    return (
        f"{distance} byte{'' if distance == 1 else 's'} {_PLACES[place]} "
        f"{was}{_article(block.size)} {block.size}-byte block at {block.address:#x}"
    )


def _register(modules: tuple[Module, ...], register: Register) -> Iterator[str]:
    place = _place(register.place, register.distance, register.block)
    yield f"  {register.name} is {register.value:#x}, {place}"
    yield from (f"  {line}" for line in _moments(modules, register.block))


def render(event: Event) -> list[str]:
    """The event as lines: a sentence, then the stacks of the access, the allocation, the free."""
    lines = [f"patalloc: {event.summary}"]
    thread = f"thread {event.thread} ({event.thread_name}) of process {event.process}"
    lines.append(f"  in {thread}{_during(event.note)}:")
    lines += event.python.splitlines()
    lines += _stack_of(event)
    for register in event.registers:
        lines += _register(event.modules, register)
    lines += _moments(event.modules, event.block)
    return lines


def render_description(found: Description) -> list[str]:
    """A description as lines, likewise."""
    where = "where nothing is mapped"
    if found.mapping:
        permissions = found.mapping.permissions
        where = f"in {found.mapping.name or 'memory'}{f' ({permissions})' if permissions else ''}"
    if found.block is None or found.place is None:
        return [f"{found.address:#x} is in or near no block that patalloc knows, {where}"]
    place = _place(found.place, found.distance or 0, found.block)
    return [f"{found.address:#x} is {place}", *_moments(found.modules, found.block)]
