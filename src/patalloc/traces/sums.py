"""What a trace comes to: by call stack, size, lifetime and time."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from patalloc._core import ffi, lib
from patalloc.traces.file import Summary, Trace

_TIMES = 500


@attrs.frozen
class Site:
    """One call stack that allocates; bytes as requested.

    Attributes:
        stack: its number in the trace; 0 for blocks whose stack is not known.
        allocations: how many, realloc's among them; bytes: of them all; largest: of one.
        temporary: freed by the thread before it allocated anything else.
        freed: how many were; lifetime: microseconds of these, added up.
        then_blocks: live at the moment that was asked for; then_bytes: of these.
        left_blocks: live at the end; left_bytes: of these.
        seen_pages: of blocks of 1 MiB and more of which it is known what was written.
        written_pages: of these.
    """

    stack: int
    allocations: int
    bytes: int
    temporary: int
    freed: int
    lifetime: int
    then_blocks: int
    then_bytes: int
    left_blocks: int
    left_bytes: int
    seen_pages: int
    written_pages: int
    largest: int


@attrs.frozen
class Size:
    """Requests of at least `start` bytes, and less than `end`; else as of a Site."""

    start: int
    end: int
    allocations: int
    bytes: int
    temporary: int
    lifetime: int
    freed: int
    seen_pages: int
    written_pages: int


@attrs.frozen
class Life:
    """Blocks that lived for at least `start` microseconds, and less than `end`."""

    start: int
    end: int
    blocks: int
    bytes: int


@attrs.frozen
class Time:
    """A stretch of time from `start` on, in microseconds.

    Attributes:
        blocks: the most live ones in it; bytes: the most live bytes.
        allocations: requests in it; requested: their bytes. freed: blocks.
        left_blocks: live at its end; left_bytes: their bytes.
    """

    start: int
    blocks: int
    bytes: int
    allocations: int
    requested: int
    freed: int
    left_blocks: int
    left_bytes: int


@attrs.frozen
class Sums:
    """All of it.

    Attributes:
        events: how many. duration: microseconds from the begin to the last one.
        peak_bytes: the most live bytes. peak_time: when that was.
        moment: the time that `then_` is of.
        sites: most bytes first.
        sizes, lives, times: in order; empty ones at the ends left out.
        moments: of the others that were asked for the time, and what was live, by stack.
        page_size: bytes.
    """

    events: int
    duration: int
    peak_bytes: int
    peak_time: int
    moment: int
    sites: tuple[Site, ...]
    sizes: tuple[Size, ...]
    lives: tuple[Life, ...]
    times: tuple[Time, ...]
    page_size: int
    moments: tuple[tuple[int, Mapping[int, int]], ...] = ()

    @property
    def allocations(self) -> int:
        """How many requests there were."""
        return sum(each.allocations for each in self.sites)

    @property
    def bytes(self) -> int:
        """That were requested."""
        return sum(each.bytes for each in self.sites)

    @property
    def temporary(self) -> int:
        """Blocks that were freed by their thread before it allocated anything else."""
        return sum(each.temporary for each in self.sites)

    def over(self, threshold: int) -> tuple[int, int]:
        """How many requests there were of so many bytes and more, and their bytes.

        A threshold within a class of sizes is rounded down to its start.
        """
        found = [each for each in self.sizes if each.end > threshold]
        return sum(each.allocations for each in found), sum(each.bytes for each in found)


def _peak(chunks: list[tuple[Summary, int]]) -> tuple[int, int]:
    """Behind which event of all it is, and of which chunk."""
    before, found, where, most = 0, 0, 0, -1
    for number, (summary, _) in enumerate(chunks):
        if summary.peak_bytes > most:
            most, found, where = summary.peak_bytes, before + summary.peak_event, number
        before += summary.events
    return found, where


def _event_at(trace: Trace, time: int) -> int:
    """Behind which event of all a time is."""
    count = 0
    for batch in trace.batches():
        if batch[len(batch) - 1].time <= time:
            count += len(batch)
            continue
        return count + sum(int(each.time <= time) for each in batch)
    return count


def _structs(array: object, count: int) -> Iterator[tuple[int, ...]]:
    """As tuples of their fields, all of which are of 8 bytes."""
    item = ffi.typeof(array).item
    words = ffi.sizeof(item) // 8
    flat = ffi.unpack(ffi.cast("uint64_t *", array), words * count)
    return (tuple(flat[at : at + words]) for at in range(0, words * count, words))


def _inner(rows: list[Any], is_empty: Callable[[Any], bool]) -> tuple[Any, ...]:
    used = [place for place, each in enumerate(rows) if not is_empty(each)]
    return tuple(rows[used[0] : used[-1] + 1]) if used else ()


def _moments(fold: object, times: list[int], stacks: int) -> Iterator[tuple[int, dict[int, int]]]:
    flat = ffi.unpack(lib.fold_moments(fold), len(times) * stacks) if times else []
    for number, time in enumerate(times):
        live = flat[number * stacks : (number + 1) * stacks]
        yield time, {stack: size for stack, size in enumerate(live) if size}


def of_trace(
    trace: Trace, *, moment: int | None = None, times: int = _TIMES, moments: int = 0
) -> Sums:
    """Add up a trace.

    Args:
        trace: a trace.
        moment: microseconds from its begin; None for when most bytes were live.
        times: into how many stretches of time it is divided.
        moments: at how many others, spread over it, what is live is wanted as well.

    Raises:
        TraceError: it is damaged.
    """
    peak_event, where = _peak(trace.chunks)
    event = peak_event if moment is None else _event_at(trace, moment)
    last = max((summary.last for summary, _ in trace.chunks), default=0)
    page_size: int = trace.start.get("page_size", 4096)
    shift = page_size.bit_length() - 1
    stacks = len(trace.stacks)
    made = lib.fold_new(stacks, last + 1, times, shift)
    if made == ffi.NULL:
        raise MemoryError
    fold = ffi.gc(made, lib.fold_free)
    others = [last * number // moments for number in range(1, moments + 1)]
    if not lib.fold_at(fold, event, others, len(others)):
        raise MemoryError
    for reader in trace.readers():
        if not lib.fold_chunk(fold, reader):
            raise trace.damaged()
    lib.fold_end(fold)
    sites = [
        Site(number, *fields)
        for number, fields in enumerate(_structs(lib.fold_sites(fold), stacks))
        if fields[0]
    ]
    sizes = [*_structs(lib.fold_sizes(fold), lib.FOLD_SIZES)]
    ends = [fields[0] for fields in sizes[1:]] + [sizes[-1][0]]
    lives = [*_structs(lib.fold_lives(fold), lib.FOLD_LIVES)]
    stretches = [
        Time((last + 1) * number // times, *fields)
        for number, fields in enumerate(_structs(lib.fold_times(fold), times))
    ]
    peak = trace.chunks[where][0] if trace.chunks else Summary(0, 0, 0, 0, 0, 0, 0)
    found = [each.start for each in stretches if each.bytes == peak.peak_bytes]
    peak_time = found[0] if found else 0
    return Sums(
        events=sum(summary.events for summary, _ in trace.chunks),
        duration=last,
        peak_bytes=peak.peak_bytes,
        peak_time=peak_time,
        moment=peak_time if moment is None else moment,
        sites=tuple(sorted(sites, key=lambda site: (-site.bytes, site.stack))),
        sizes=_inner(
            [Size(row[0], end, *row[1:]) for row, end in zip(sizes, ends, strict=True)],
            lambda size: not size.allocations,
        ),
        lives=_inner(
            [Life(1 << number >> 1, 1 << number, *fields) for number, fields in enumerate(lives)],
            lambda life: not life.blocks,
        ),
        times=tuple(stretches),
        page_size=page_size,
        moments=tuple(_moments(fold, others, stacks)),
    )
