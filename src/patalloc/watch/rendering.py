"""Events as text for people, with the functions and source lines on their stacks."""

from collections.abc import Iterator

from patalloc.watch.events import Event, Module, Moment, Register
from patalloc.watch.symbols import Location, locate


def render_place(location: Location) -> str:
    """A function, and where it is, as far as that is known."""
    if location.module is None:
        return f"{location.offset:#x} (code from no file)"
    if location.function is None:
        return f"{location.module}+{location.offset:#x}"
    if location.file is None:
        return f"{location.function} ({location.module}+{location.offset:#x})"
    return f"{location.function} at {location.file}:{location.line or '?'} ({location.module})"


def render_stack(stack: tuple[int, ...], modules: tuple[Module, ...]) -> Iterator[str]:
    """A call stack as lines, the innermost first; inlined functions have no number."""
    for number, address in enumerate(stack):
        module = next((each for each in modules if each.start <= address < each.end), None)
        for inlined, location in enumerate(locate(module, address)):
            mark = f"#{number}" if inlined == 0 else " " * (1 + len(str(number)))
            yield f"    {mark} {render_place(location)}"


def _moment(event: Event, what: str, moment: Moment | None) -> Iterator[str]:
    if moment is None:
        return
    by = "" if moment.thread is None else f" by thread {moment.thread}, {moment.age_ms} ms before"
    yield f"  {what}{by}{':' if moment.stack else ''}"
    yield from render_stack(moment.stack, event.modules)


_PLACES = {"before": "before", "inside": "into", "after": "past the end of"}


def _register(register: Register) -> str:
    block = register.block
    what = "a" if block.state == "live" else "what was a"
    return (
        f"  {register.name} is {register.value:#x}, {register.distance} "
        f"byte{'' if register.distance == 1 else 's'} {_PLACES[register.place]} "
        f"{what} {block.size}-byte block at {block.address:#x}"
    )


def render(event: Event) -> list[str]:
    """The event as lines: a sentence, then the stacks of the access, the allocation, the free."""
    lines = [f"patalloc: {event.summary}"]
    lines.append(f"  in thread {event.thread} ({event.thread_name}) of process {event.process}:")
    lines += render_stack(event.stack, event.modules)
    lines += map(_register, event.registers)
    if event.block:
        lines += _moment(event, "allocated", event.block.allocated)
        lines += _moment(event, "freed", event.block.freed)
    return lines
