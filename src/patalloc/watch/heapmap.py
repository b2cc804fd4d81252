"""Maps of a heap: its blocks in the order of their addresses, and what each of their pages is.

From another process's records (csrc/watch/records.h) and /proc/PID/pagemap (Linux,
Documentation/admin-guide/mm/pagemap.rst). The process goes on meanwhile, and nothing of it changes;
what it does at the same time may be seen in part.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from enum import IntEnum

import attrs

from patalloc._core import ffi, lib
from patalloc.watch.description import adopt
from patalloc.watch.image import Image, of_process

_BLOCKS = 4096  # that are read at a time
_PAGES = 1 << 16  # likewise
_HUGE = 1 << 21  # bytes of a huge page, on most machines
_RUN = struct.Struct("=II")


class Page(IntEnum):
    """What a page is."""

    UNTOUCHED = 0  # no access to it yet
    READ = 1  # it is the refpage's: read, or mapped with a neighbour that was read or written
    WRITTEN = 2
    SWAPPED = 3  # written, and then moved out of memory
    GUARD = 4
    HUGE = 5  # in a huge page, in which one of its pages at least was written


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
        stack: the number of the call stack that allocated it (description.call_stack); 0 for none.
        counts: how many of its pages are of each kind; zeros where that is not known.
        packed: runs of them, as struct adopted_run has them (csrc/watch/adopted.h).
    """

    address: int
    size: int
    start: int
    end: int
    state: State
    fill: Fill
    since: int
    stack: int
    counts: tuple[int, ...]
    packed: bytes

    @property
    def is_live(self) -> bool:
        """Whether it was not freed."""
        return self.state <= State.BUSY

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
        now: milliseconds from the program's begin, as blocks' `since`; None where that is not kept.
        blocks: in the order of addresses.
        spans: of what is mapped by one call and holds blocks, start and end, in order. Empty where
            that was not asked for.
    """

    pid: int
    page_size: int
    now: int | None
    blocks: tuple[Block, ...]
    spans: tuple[tuple[int, int], ...] = ()

    @property
    def requested(self) -> int:
        """Bytes of live blocks."""
        return sum(each.size for each in self.blocks if each.is_live)

    def pages(self, page: Page, *, live: bool = True) -> int:
        """How many of all pages are such: of live blocks, or of others."""
        return sum(each.counts[page] for each in self.blocks if live == each.is_live)


class Attached:
    """A running process whose heap is read again and again, by a process that has no Heap.

    Until it becomes another program (execve(2)); and always the same one.

    Attributes:
        image: its memory, and what was mapped in it when that was asked last.
        blind: why it is not known what its pages are; None where it is.
    """

    def __init__(self, pid: int) -> None:
        """Open what there is to read.

        Raises:
            FileNotFoundError: there is no such process.
            PermissionError: it may not be read by this one (ptrace(2)).
        """
        self._pid = pid
        self.blind: OSError | None = None
        self._pagemap: int | None = None
        with ExitStack() as files:
            self._memory = self._open("mem", files)
            self.image = self.mapped()
            try:
                self._pagemap = self._open("pagemap", files)
            except OSError as error:
                self.blind = error
            self._files = files.pop_all()
        self._page_size = os.sysconf("SC_PAGESIZE")
        self._blocks = ffi.new("struct adopted_block[]", _BLOCKS)
        self._runs = ffi.new("struct adopted_run[]", _PAGES)

    def close(self) -> None:
        """Close it all."""
        self._files.close()

    def _open(self, name: str, files: ExitStack) -> int:
        descriptor = os.open(f"/proc/{self._pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        files.callback(os.close, descriptor)
        return descriptor

    def mapped(self) -> Image:
        """Its memory, with what is mapped in it now."""
        self.image = of_process(self._pid, self._memory)
        return self.image

    def _pages(self, start: int, end: int, fill: Fill) -> tuple[tuple[int, ...], bytes]:
        """Of a range, as /proc/PID/pagemap has them: how many of each kind, and runs."""
        counts, packed, size = ffi.new("uint64_t[]", len(Page)), [], self._page_size
        if self._pagemap is None:
            return tuple(counts), b""
        for at in range(start, end, _PAGES * size):
            count = (min(end, at + _PAGES * size) - at) // size
            read = bytearray(count * 8)
            got = os.preadv(self._pagemap, [read], at // size * 8) // 8
            entries = ffi.from_buffer("uint64_t[]", read)
            if fill != Fill.REFPAGE and end - start >= _HUGE:
                lib.adopted_mark_huge(self._pagemap, at, entries, got)
            used = lib.adopted_runs(entries, got, fill == Fill.ZERO, self._runs, counts)
            packed.append(ffi.buffer(self._runs, used * _RUN.size)[:])
        return tuple(counts), b"".join(packed)

    def _spans(self, blocks: list[Block]) -> Iterator[tuple[int, int]]:
        """Those with any of them."""
        mappings, rest = self.mapped().mappings, iter(blocks)
        block = next(rest, None)
        for each in mappings:
            while block and block.end <= each.start:
                block = next(rest, None)
            if block and block.start < each.end:
                yield each.start, each.end

    def read(self, *, spans: bool = False) -> Map:
        """The map of its heap now.

        Args:
            spans: whether they are wanted, which takes as long again in a process with many.

        Raises:
            OSError, ValueError: it does not run under this version of patalloc; or it has ended.
        """
        adopt(self.image)
        began, clock = lib.history_began, lib.os_milliseconds()
        granule, found = ffi.new("uint32_t *"), []
        while count := lib.adopted_blocks(granule, self._blocks, _BLOCKS):
            for each in self._blocks[0:count]:
                fill = Fill(each.fill)
                found.append(
                    Block(
                        each.address,
                        each.size,
                        each.first,
                        each.end,
                        State(each.state),
                        fill,
                        each.since,
                        each.stack,
                        *self._pages(each.first, each.end, fill),
                    )
                )
        now = clock - began & 0xFFFFFFFF if began else None
        wanted = tuple(self._spans(found)) if spans else ()
        return Map(self._pid, self._page_size, now, tuple(found), wanted)
