"""Maps of a heap: its blocks in the order of their addresses, and what each of their pages is.

From another process's records (csrc/watch/records.h) and /proc/PID/pagemap (Linux,
Documentation/admin-guide/mm/pagemap.rst). The process goes on meanwhile, and nothing of it changes;
what it does at the same time may be seen in part.
"""

import os
import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

import attrs

from patalloc._core import ffi, lib
from patalloc.watch.description import adopt
from patalloc.watch.image import of_process

_BLOCKS = 4096  # that are read at a time
_PAGES = 1 << 16  # likewise
_RUN = struct.Struct("=II")


class Page(IntEnum):
    """What a page is."""

    UNTOUCHED = 0  # no access to it yet
    READ = 1  # it is the refpage's: read, or mapped with a neighbour that was read or written
    WRITTEN = 2
    SWAPPED = 3  # written, and then moved out of memory
    GUARD = 4


class State(IntEnum):
    """What a block is."""

    LIVE = 1
    BUSY = 2  # a thread is freeing or resizing it
    KEPT = 3  # it was freed, and can be handed out again
    QUARANTINED = 4  # it was freed, and can't be yet


class Fill(IntEnum):
    """How a block got its content."""

    REFPAGE = 0
    MEMSET = 1
    ZERO = 2
    NONE = 3
    UNPATTERNED = 4


@attrs.frozen
class Run:
    """Pages of one kind, side by side."""

    page: Page
    count: int


@attrs.frozen
class Block:
    """A block of whole pages.

    Attributes:
        address: the program's. size: as requested.
        start: of its first page; end: behind its last one.
        state, fill: of it. since: milliseconds from the program's begin to its allocation; 0 where
            that is not kept (option report).
        counts: how many of its pages are of each kind.
        packed: runs of them, as struct adopted_run has them (csrc/watch/adopted.h).
    """

    address: int
    size: int
    start: int
    end: int
    state: State
    fill: Fill
    since: int
    counts: tuple[int, ...]
    packed: bytes

    @property
    def runs(self) -> Iterator[Run]:
        """Its pages in order."""
        for page, count in _RUN.iter_unpack(self.packed):
            yield Run(Page(page), count)

    def parts(self, count: int) -> Iterator[tuple[Page, float]]:
        """Of so many parts of it what is most of note, and how much of the part that is."""
        pages, shares = ffi.new("uint8_t[]", count), ffi.new("uint8_t[]", count)
        runs = ffi.from_buffer("struct adopted_run[]", self.packed)
        lib.adopted_parts(runs, len(runs), count, pages, shares)
        for page, share in zip(pages, shares, strict=True):
            yield Page(page), share / 255


@attrs.frozen
class Map:
    """A heap at a moment.

    Attributes:
        pid: the process. page_size: bytes.
        blocks: in the order of addresses.
    """

    pid: int
    page_size: int
    blocks: tuple[Block, ...]

    def pages(self, page: Page, *, live: bool = True) -> int:
        """How many of all pages are such: of live blocks, or of others."""
        return sum(each.counts[page] for each in self.blocks if live == (each.state <= State.BUSY))


def _pages(
    pagemap: BinaryIO, start: int, end: int, page_size: int, *, zeros: bool
) -> tuple[tuple[int, ...], bytes]:
    """Of a range, as /proc/PID/pagemap has them: how many of each kind, and runs."""
    counts, runs = ffi.new("uint64_t[]", len(Page)), ffi.new("struct adopted_run[]", _PAGES)
    packed = []
    for at in range(start, end, _PAGES * page_size):
        count = (min(end, at + _PAGES * page_size) - at) // page_size
        pagemap.seek(at // page_size * 8)
        entries = ffi.from_buffer("uint64_t[]", pagemap.read(count * 8))
        used = lib.adopted_runs(entries, len(entries), zeros, runs, counts)
        packed.append(ffi.buffer(runs, used * _RUN.size)[:])
    return tuple(counts), b"".join(packed)


def read(pid: int) -> Map:
    """The map of a running process's heap, for a process that has no Heap: always of the same one.

    Raises:
        FileNotFoundError: there is no such process.
        PermissionError: it may not be read by this one (ptrace(2)).
        ValueError: it does not run under this version of patalloc.
    """
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        adopt(of_process(pid, memory))
    finally:
        os.close(memory)
    page_size = os.sysconf("SC_PAGESIZE")
    granule, found = ffi.new("uint32_t *"), []
    blocks = ffi.new("struct adopted_block[]", _BLOCKS)
    with Path(f"/proc/{pid}/pagemap").open("rb", buffering=0) as pagemap:
        while count := lib.adopted_blocks(granule, blocks, _BLOCKS):
            for each in blocks[0:count]:
                found.append(
                    Block(
                        each.address,
                        each.size,
                        each.first,
                        each.end,
                        State(each.state),
                        Fill(each.fill),
                        each.since,
                        *_pages(
                            pagemap, each.first, each.end, page_size, zeros=each.fill == Fill.ZERO
                        ),
                    )
                )
    return Map(pid, page_size, tuple(found))
