"""What the core of another process knows of an address: which block, by whom, and since when."""

import json
from itertools import count
from typing import Any

import attrs

from patalloc._core import ffi, lib
from patalloc.watch.events import HeapBlock, Module, known_block
from patalloc.watch.image import Image, Mapping


@attrs.frozen(kw_only=True)
class Description:
    """An address.

    Attributes:
        address: it.
        place: where it lies: before, inside or after the block; None where none is near.
        distance: bytes, as an event's.
        block: the one that is nearest; None for none. Its moments are told from the program's
            start on.
        mapping: what is mapped there; None for nothing.
        modules: the files that code may be from.
    """

    address: int
    place: str | None = None
    distance: int | None = None
    block: HeapBlock | None = attrs.field(
        converter=attrs.converters.optional(known_block), default=None
    )
    mapping: Mapping | None
    modules: tuple[Module, ...]


def find_records(image: Image) -> Any:  # noqa: ANN401 (cffi has no types)
    """Where the core of a process tells of itself: a struct records of the C core, copied.

    Raises:
        ValueError: patalloc is not in this process, or another version of it.
    """
    bases = {each.name: each.start for each in reversed(image.mappings) if each.offset == 0}
    code = image.code
    for name, base in bases.items():
        for note in image.notes(base) if name.startswith("/") and name in code else ():
            if note.owner != "PATALLOC":
                continue
            address = note.address + int.from_bytes(note.content, "little")
            copied = ffi.new("struct records *")
            ffi.buffer(copied)[:] = image.read(address, ffi.sizeof("struct records"))
            sizes = [[each.size for each in of.list] for of in (copied, lib.records)]
            if sizes[0] != sizes[1] or ffi.string(copied.version) != ffi.string(
                lib.records.version
            ):
                raise ValueError(f"{name} in {image.what} is another version of patalloc than this")
            return copied
    raise ValueError(f"{image.what} does not run under patalloc, or its memory is not all there")


def last_report(image: Image) -> str:
    """What a process reported last, as text; empty for nothing.

    Raises:
        ValueError: as find_records.
    """
    theirs = find_records(image)
    text = image.read(int(ffi.cast("uintptr_t", theirs.said.at)), theirs.said.size)
    return text.partition(b"\0")[0].decode(errors="backslashreplace")


def _fill(image: Image, ours: Any, theirs: Any) -> None:  # noqa: ANN401 (cffi has no types)
    size = ours.size
    content = image.read(int(ffi.cast("uintptr_t", theirs.at)), size) if size else b""
    ffi.buffer(ffi.cast("char *", ours.at), size)[:] = content


_mapped: dict[int, int] = {}  # tables that are mapped here: where each starts, and its bytes


def _map(table: Any) -> None:  # noqa: ANN401 (cffi has no types)
    """Memory for a table, as far as there is none since the last time."""
    start = int(ffi.cast("uintptr_t", table.at))
    have = _mapped.get(start, 0)
    if table.size <= have:
        return
    more = ffi.new("struct record *", {"size": table.size - have})
    more.at = ffi.cast("void *", start + have)
    if not lib.adopted_map(more):
        raise ValueError(f"{table.at} is not free in this process: please try again")
    _mapped[start] = table.size


def adopt(image: Image) -> None:
    """Make the records of a process this one's own, where there is no Heap.

    Again later for the same process, as it goes on; not for another one.

    Raises:
        ValueError: as find_records; or they are not all in the image, or damaged.
    """
    theirs = find_records(image)
    lib.os_init()
    for ours, other in zip(lib.records.list, theirs.list, strict=True):
        if ours.at:
            _fill(image, ours, other)
    table = ffi.new("struct record *")
    for number in count():
        match lib.adopted_table(number, table):
            case 0:
                return
            case -1:
                raise ValueError(f"the records in {image.what} are damaged")
        _map(table)
        _fill(image, table, table)


def call_stack(number: int) -> tuple[int, ...]:
    """The one of that number in the records that were adopted: addresses, the innermost first.

    Empty where there is none.
    """
    stack = ffi.new("struct stack *")
    lib.stack_find(number, stack)
    return tuple(stack.frames[0 : stack.count])


def describe(image: Image, address: int) -> Description:
    """What is known of an address in the process whose records were adopted."""
    text = ffi.new("char[]", 1 << 16)
    lib.adopted_describe(address, text, len(text))
    return Description(
        address=address,
        mapping=image.at(address),
        modules=image.modules,
        **json.loads(ffi.string(text)),
    )
