"""Maps of a recorded process's heap: taken from time to time, and kept in its trace.

A map is read into the records of one's own core (watch/description), which can be those of one
process only. So each recorded process has a process of its own that looks at it: a fork of the
recorder, which ends with it, and is told maps by a pipe. It is the recorder that opens the memory,
as some kernels allow that to ancestors only (Linux, Documentation/admin-guide/LSM/Yama.rst).
"""

import fcntl
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import attrs

from patalloc._core import ffi, lib
from patalloc.watch.heapmap import Attached, Block, Fill, Map, Page, State

_LEAST = 0.05  # seconds between two
_PARTS = 20  # of the time one may be spent looking
_SLOWER = 250  # after so many they come the more seldom the longer it goes on
_TRIES = 20  # that fail: what changes while it is read may be torn
_HEAD = struct.Struct("<QII")  # microseconds from the trace's begin, blocks, page size
_BLOCK = struct.Struct("<4Q4I")  # as struct adopted_block has it (csrc/watch/adopted.h)
_RUN = struct.Struct("<II")  # likewise
_COUNT = struct.Struct("<I")  # of a block's runs
_SAME = 0xFFFFFFFF  # runs: as they were in the map before
_LENGTH = struct.Struct("<I")  # of a map in a pipe
_PIPE = 1 << 20  # bytes that one is to have room for
_WAIT = 1000  # milliseconds after which it is looked whether the recorder is there still

# Of blocks, by the first page's address: their runs of pages, and how many there are of each kind.
Known = dict[int, tuple[bytes, tuple[int, ...]]]


def pack(at: int, found: Map, before: dict[int, bytes]) -> bytes:
    """A map as a trace has it.

    Args:
        at: microseconds from the trace's begin.
        found: it.
        before: the runs of the map before, by the first page's address; what `found` has is put in
            their place.
    """
    blocks, counts, runs, now = [], [], [], {}
    for each in found.blocks:
        fields = (each.address, each.size, each.start, each.end)
        blocks.append(_BLOCK.pack(*fields, each.state, each.fill, each.stack, each.since))
        is_same = before.get(each.start) == each.packed
        counts.append(_COUNT.pack(_SAME if is_same else len(each.packed) // _RUN.size))
        if not is_same:
            runs.append(each.packed)
        now[each.start] = each.packed
    before.clear()
    before.update(now)
    head = _HEAD.pack(at, len(blocks), found.page_size)
    return b"".join([head, *blocks, *counts, *runs])


def tell_stacks(writer: Any, packed: bytes) -> bytes:  # noqa: ANN401 (cffi has no types)
    """The same with the numbers of call stacks and the times that a trace's writer knows."""
    told = bytearray(packed)
    _, count, _ = _HEAD.unpack_from(told)
    part = memoryview(told)[_HEAD.size : _HEAD.size + count * _BLOCK.size]
    if len(part) == count * _BLOCK.size:
        lib.trace_writer_tell(writer, ffi.from_buffer("struct adopted_block[]", part), count)
    part.release()
    return bytes(told)


def _counts(packed: bytes) -> tuple[int, ...]:
    counts = [0] * len(Page)
    for page, count in _RUN.iter_unpack(packed):
        counts[page] += count
    return tuple(counts)


def parse(packed: bytes, known: Known) -> tuple[int, int, list[tuple[int, ...]]]:
    """Microseconds from the trace's begin, the page size, and blocks as struct adopted_block.

    Args:
        packed: as `pack` has made it.
        known: of the map before; of this one afterwards.

    Raises:
        ValueError, struct.error, LookupError: it is not as it should be.
    """
    at, count, page_size = _HEAD.unpack_from(packed)
    counts_at = _HEAD.size + count * _BLOCK.size
    runs_at = counts_at + count * _COUNT.size
    if runs_at > len(packed):
        raise ValueError("a map is cut")
    blocks = [*_BLOCK.iter_unpack(packed[_HEAD.size : counts_at])]
    now: Known = {}
    for block, (runs,) in zip(blocks, _COUNT.iter_unpack(packed[counts_at:runs_at]), strict=True):
        if runs == _SAME:
            now[block[2]] = known[block[2]]
        else:
            part = packed[runs_at : runs_at + runs * _RUN.size]
            now[block[2]] = part, _counts(part)
            runs_at += runs * _RUN.size
    known.clear()
    known.update(now)
    return at, page_size, blocks


def unpack(packed: bytes, pid: int, known: Known) -> tuple[int, Map]:
    """A map, and microseconds from the trace's begin; as `parse`."""
    at, page_size, blocks = parse(packed, known)
    found = []
    for address, size, start, end, state, fill, stack, since in blocks:
        runs, counts = known[start]
        kinds = State(state), Fill(fill)
        found.append(Block(address, size, start, end, *kinds, since, stack, counts, runs))
    return at, Map(pid, page_size, at // 1000, tuple(found))


@attrs.frozen
class Totals:
    """Of a map; bytes.

    Attributes:
        time: microseconds from the trace's begin.
        live: of live blocks, as requested. written: of their pages, huge ones among them.
        kept: of freed blocks' pages that were kept. quarantined: of their addresses.
    """

    time: int
    live: int
    written: int
    kept: int
    quarantined: int


def totals(packed: bytes, known: Known) -> Totals:
    """What a map comes to; as `parse`."""
    at, page_size, blocks = parse(packed, known)
    live = written = kept = quarantined = 0
    for _, size, start, end, state, *_ in blocks:
        counts = known[start][1]
        if state <= State.BUSY:
            live += size
            written += counts[Page.WRITTEN] + counts[Page.HUGE]
        elif state == State.KEPT:
            kept += counts[Page.WRITTEN] + counts[Page.HUGE]
        else:
            quarantined += end - start
    return Totals(at, live, written * page_size, kept * page_size, quarantined)


@attrs.define
class Looker:
    """A process that looks at another one's heap.

    Attributes:
        pid: its own.
        cpu: seconds of processor time that it took; once it has ended.
    """

    pid: int
    _pipe: int
    _control: Any
    _read: bytearray = attrs.field(factory=bytearray)
    cpu: float = 0.0

    def new(self) -> Iterator[bytes]:
        """Maps that have come, as `pack` has them."""
        with suppress(BlockingIOError):
            while data := os.read(self._pipe, _PIPE):
                self._read += data
        while len(self._read) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._read)
            end = _LENGTH.size + length
            if len(self._read) < end:
                return
            yield bytes(self._read[_LENGTH.size : end])
            del self._read[:end]

    def end(self) -> None:
        """End it."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        _, _, used = os.wait4(self.pid, 0)
        self.cpu = used.ru_utime + used.ru_stime
        os.close(self._pipe)
        self._control.looked = 1  # as nobody will


def _write(pipe: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(pipe, rest) :]


def _look_on(process: Attached, control: Any, clock: Callable[[], int], pipe: int) -> None:  # noqa: ANN401
    """Until it is about to end, when it waits for a last look (csrc/watch/ring.h)."""
    recorder, began, failed = os.getppid(), time.monotonic(), 0
    before: dict[int, bytes] = {}
    ended = ffi.addressof(control, "ended")
    while failed < _TRIES:
        is_last, cost = bool(control.ended), time.monotonic()
        try:
            found = process.read()
        except (OSError, ValueError):
            failed += 1
        else:
            packed = pack(clock(), found, before)
            _write(pipe, _LENGTH.pack(len(packed)) + packed)
            failed = 0
        if is_last and not failed:
            return
        now = time.monotonic()
        wait = max(_LEAST, (now - cost) * _PARTS, (now - began) / _SLOWER) if not failed else 0.001
        while (left := now + wait - time.monotonic()) > 0 and not control.ended:
            lib.trace_wait(ended, min(max(int(left * 1000), 1), _WAIT))
            if os.getppid() != recorder:
                return


def look_at(process: Attached, control: Any, clock: Callable[[], int]) -> Looker:  # noqa: ANN401
    """Have a process look at another one's heap from now on.

    Args:
        process: that.
        control: its struct ring_control (csrc/watch/ring.h).
        clock: tells the time, in microseconds from the trace's begin.

    Raises:
        OSError: no process can be had for it.
    """
    ours, theirs = os.pipe()
    try:
        with suppress(OSError):
            fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, _PIPE)
        os.set_blocking(ours, False)
        child = os.fork()
    except OSError:
        os.close(ours)
        os.close(theirs)
        raise
    if child:
        os.close(theirs)
        control.looking = 1
        return Looker(child, ours, control)
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):  # who reads what the recorder prints is not to wait for this
            os.dup2(nothing, standard)
        _look_on(process, control, clock, theirs)
    finally:
        control.looked = 1
        os._exit(0)
