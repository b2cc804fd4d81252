"""Events: the errors that the core found in a heap (option `report`), as data."""

import json
from collections.abc import Iterable
from typing import Any, Self

import attrs


def _address(text: str) -> int:
    return int(text, 16)


def _addresses(texts: Iterable[str]) -> tuple[int, ...]:
    return tuple(map(_address, texts))


def _hex(text: str) -> bytes:
    return bytes.fromhex(text)


@attrs.frozen(kw_only=True)
class Module:
    """A file that code on a call stack is from.

    Attributes:
        path: as in /proc/PID/maps (proc(5)).
        base: the address at which the file's start is mapped, or would be.
        start: of the mapping with the code; end: its end.
        build_id: what the linker gave it, in hex (ld(1), --build-id); empty where there is none.
    """

    path: str
    base: int = attrs.field(converter=_address)
    start: int = attrs.field(converter=_address)
    end: int = attrs.field(converter=_address)
    build_id: str


@attrs.frozen(kw_only=True)
class Moment:
    """An allocation or a free.

    Attributes:
        thread: its number (gettid(2)); None where that is not kept, as of small blocks.
        age_ms: milliseconds from then to the event; None likewise.
        after_ms: in a description, from the program's start to then; else None.
        stack: addresses inside the calls that led to it, the innermost first; empty where the
            option `stacks` did not ask for it.
        note: what the thread was at (`note`). python: the Python lines that led to it, as
            faulthandler prints them, the innermost first; empty where they are not taken.
    """

    stack: tuple[int, ...] = attrs.field(converter=_addresses)
    thread: int | None = None
    age_ms: int | None = None
    after_ms: int | None = None
    note: str = ""
    python: str = ""


def _moment(data: dict[str, Any] | None) -> Moment | None:
    return Moment(**data) if data else None


@attrs.frozen(kw_only=True)
class HeapBlock:
    """The block that an event is about.

    Attributes:
        address: where it starts.
        state: live, freed, or released (freed, and its address space given back).
        size: the bytes requested.
        allocated: by whom; None where that is not known. freed: likewise.
    """

    address: int = attrs.field(converter=_address)
    state: str
    size: int
    allocated: Moment | None = attrs.field(converter=_moment, default=None)
    freed: Moment | None = attrs.field(converter=_moment, default=None)


def _block(data: dict[str, Any] | None) -> HeapBlock | None:
    return HeapBlock(**data) if data else None


def known_block(data: dict[str, Any]) -> HeapBlock:
    """The block that the core wrote as an object of JSON."""
    return HeapBlock(**data)


def _modules(data: Iterable[dict[str, Any]]) -> tuple[Module, ...]:
    return tuple(Module(**each) for each in data)


@attrs.frozen(kw_only=True)
class Register:
    """A register that points into a block, or near one, as a process dies.

    Attributes:
        name: as the processor's manuals have it. value: what it holds.
        place: of that address: before, inside or after the block. distance: bytes, as an event's.
        block: the one that is nearest.
    """

    name: str
    value: int = attrs.field(converter=_address)
    place: str
    distance: int
    block: HeapBlock = attrs.field(converter=known_block)


def _registers(data: Iterable[dict[str, Any]]) -> tuple[Register, ...]:
    return tuple(Register(**each) for each in data)


@attrs.frozen(kw_only=True)
class Event:
    """An error in a heap, or what a process died of.

    Attributes:
        version: of this format.
        kind: heap-buffer-overflow, heap-buffer-underflow, use-after-free, wild-access,
            tag-mismatch, double-free, invalid-free or alloc-dealloc-mismatch. And of deaths of
            which no block is the reason: null-pointer, stack-overflow, wild-jump,
            uninitialised-pointer, abort, fatal-signal; wild-access and use-after-free, too. And at
            exit: leak, still-reachable.
        summary: it all in a sentence.
        process: its number; thread: the number of the thread (gettid(2)); thread_name: its name.
        stack: addresses inside the calls that led to the access or call, the innermost first.
        modules: the files that the code on all stacks is from.
        left_out: how many calls the stack lacks, as of an endless recursion; left_out_before: the
            number of the frame before which they are.
        access: read, write or execute; access where the processor does not tell. None for none.
        call: the function that found it: free, realloc, malloc_usable_size, free_sized, operator
            delete and so on. None for a fault.
        signal: that the fault is. None for none.
        address: what was accessed or passed; None where that is not known.
        place: of the address: before, inside or after the block. None where no block is near.
        distance: bytes: 1 for the first one before or after the block, 0 for its first one. None
            where it is not known.
        overwritten: what overwritten memory around the block holds, from `address` on.
        pointer_tag: in the address; memory_tag: of the memory there (Arm). None for other events.
        origin: of a mismatch: the functions that the block came from: malloc (and its kin),
            operator new or operator new[]. told_size: the size that the call was told, bytes, where
            the block has another one. alignment: that the block was requested at, told_alignment:
            that the call was told; None for none. All None for other events.
        blocks: of a leak: how many were never freed; total_size: their bytes. Else None.
        block: the one that is nearest, or of a leak's one; None for none.
        registers: of a death: those that point into blocks.
        note: what the thread was at (`note`). python: the Python lines that it was at, as
            faulthandler prints them, the innermost first; empty where they are not known.
    """

    version: int
    kind: str
    summary: str
    process: int
    thread: int
    thread_name: str
    stack: tuple[int, ...] = attrs.field(converter=_addresses)
    modules: tuple[Module, ...] = attrs.field(converter=_modules)
    left_out: int = 0
    left_out_before: int = 0
    access: str | None = None
    call: str | None = None
    signal: int | None = None
    address: int | None = attrs.field(converter=attrs.converters.optional(_address), default=None)
    place: str | None = None
    distance: int | None = None
    overwritten: bytes = attrs.field(  # type: ignore[assignment]  # the converter's default
        converter=_hex, alias="bytes", default=""
    )
    pointer_tag: int | None = None
    memory_tag: int | None = None
    origin: str | None = None
    told_size: int | None = None
    alignment: int | None = None
    told_alignment: int | None = None
    blocks: int | None = None
    total_size: int | None = None
    block: HeapBlock | None = attrs.field(converter=_block, default=None)
    registers: tuple[Register, ...] = attrs.field(converter=_registers, default=())
    note: str = ""
    python: str = ""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The event that the core wrote as a line of JSON.

        Raises:
            ValueError: this is no such line.
        """
        try:
            return cls(**json.loads(text))
        except (AttributeError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{text[:60]!r}: no event of patalloc's: {error}") from None


def read(text: str) -> list[Event]:
    """The events in a file that `report` named: a line each.

    Raises:
        ValueError: a line is no event.
    """
    return [Event.from_json(line) for line in text.split("\n") if line.strip()]
