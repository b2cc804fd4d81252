"""Events as text for people, with the functions and source lines on their stacks."""

from collections.abc import Iterator

from patalloc.events import Event, Moment
from patalloc.symbols import Location, locate


def _place(location: Location) -> str:
    if location.module is None:
        return f"{location.offset:#x} (code from no file)"
    if location.function is None:
        return f"{location.module}+{location.offset:#x}"
    if location.file is None:
        return f"{location.function} ({location.module}+{location.offset:#x})"
    return f"{location.function} at {location.file}:{location.line or '?'} ({location.module})"


def _stack(event: Event, stack: tuple[int, ...]) -> Iterator[str]:
    for number, address in enumerate(stack):
        for inlined, location in enumerate(locate(event, address)):
            mark = f"#{number}" if inlined == 0 else " " * (1 + len(str(number)))
            yield f"    {mark} {_place(location)}"


def _moment(event: Event, what: str, moment: Moment | None) -> Iterator[str]:
    if moment is None:
        return
    by = "" if moment.thread is None else f" by thread {moment.thread}, {moment.age_ms} ms before"
    yield f"  {what}{by}{':' if moment.stack else ''}"
    yield from _stack(event, moment.stack)


def render(event: Event) -> list[str]:
    """The event as lines: a sentence, then the stacks of the access, the allocation, the free."""
    lines = [f"patalloc: {event.summary}"]
    lines.append(f"  in thread {event.thread} ({event.thread_name}) of process {event.process}:")
    lines += _stack(event, event.stack)
    if event.block:
        lines += _moment(event, "allocated", event.block.allocated)
        lines += _moment(event, "freed", event.block.freed)
    return lines
