"""Maps of a recorded process's heap: taken from time to time, and kept in its trace.

A map is read into the records of one's own core (watch/description), which can be those of one
process only. So each recorded process has a process of its own that looks at it: a fork of the
recorder, which ends with it.
"""

import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
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
_LENGTH = struct.Struct("<I")  # of a map in a file


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
    lib.trace_writer_tell(writer, ffi.from_buffer("struct adopted_block[]", part), count)
    part.release()
    return bytes(told)


def _counts(packed: bytes) -> tuple[int, ...]:
    counts = [0] * len(Page)
    for page, count in _RUN.iter_unpack(packed):
        counts[page] += count
    return tuple(counts)


def unpack(
    packed: bytes, pid: int, before: dict[int, tuple[bytes, tuple[int, ...]]]
) -> tuple[int, Map]:
    """A map, and microseconds from the trace's begin.

    Args:
        packed: as `pack` has made it.
        pid: the process.
        before: the runs and counts of the map before; of this one afterwards.

    Raises:
        ValueError, struct.error, LookupError: it is not as it should be.
    """
    at, count, page_size = _HEAD.unpack_from(packed)
    counts_at = _HEAD.size + count * _BLOCK.size
    runs_at = counts_at + count * _COUNT.size
    if runs_at > len(packed):
        raise ValueError("a map is cut")
    blocks, now = [], {}
    for number in range(count):
        address, size, start, end, state, fill, stack, since = _BLOCK.unpack_from(
            packed, _HEAD.size + number * _BLOCK.size
        )
        (runs,) = _COUNT.unpack_from(packed, counts_at + number * _COUNT.size)
        if runs == _SAME:
            known = before[start]
        else:
            part = packed[runs_at : runs_at + runs * _RUN.size]
            known = part, _counts(part)
            runs_at += runs * _RUN.size
        now[start] = known
        kinds = State(state), Fill(fill)
        blocks.append(
            Block(address, size, start, end, *kinds, since, stack, counts=known[1], packed=known[0])
        )
    before.clear()
    before.update(now)
    return at, Map(pid, page_size, at // 1000, tuple(blocks))


@attrs.define
class Looker:
    """A process that looks at another one's heap, and writes maps to a file.

    Attributes:
        pid: its own.
        cpu: seconds of processor time that it took; once it has ended.
    """

    pid: int
    _path: Path
    _at: int = 0
    cpu: float = 0.0

    def new(self) -> Iterator[bytes]:
        """Maps that have come, as `pack` has them."""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._at)
            while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
                (length,) = _LENGTH.unpack(head)
                if len(packed := file.read(length)) < length:
                    return
                self._at += _LENGTH.size + length
                yield packed

    def end(self) -> None:
        """End it."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        _, _, used = os.wait4(self.pid, 0)
        self.cpu = used.ru_utime + used.ru_stime


def _look_on(pid: int, control: Any, clock: Callable[[], int], path: Path) -> None:  # noqa: ANN401
    """Until the process is about to end, when it waits for a last look (csrc/watch/ring.h)."""
    recorder, began, failed = os.getppid(), time.monotonic(), 0
    before: dict[int, bytes] = {}
    ended = ffi.addressof(control, "ended")
    with Attached(pid) as process, path.open("ab", buffering=0) as file:
        while failed < _TRIES and os.getppid() == recorder:
            is_last, cost = bool(control.ended), time.monotonic()
            try:
                packed = pack(clock(), process.read(), before)
                file.write(_LENGTH.pack(len(packed)) + packed)
                failed = 0
            except (OSError, ValueError):
                failed += 1
            if is_last and not failed:
                return
            now = time.monotonic()
            wait = max(_LEAST, (now - cost) * _PARTS, (now - began) / _SLOWER)
            lib.trace_wait(ended, int(wait * 1000) if not failed else 1)


def look_at(pid: int, control: Any, clock: Callable[[], int], path: Path) -> Looker | None:  # noqa: ANN401
    """Have a process look at another one's heap from now on.

    Args:
        pid: of that.
        control: its struct ring_control (csrc/watch/ring.h).
        clock: tells the time, in microseconds from the trace's begin.
        path: of a file for the maps.

    Returns:
        None where no process can be had for it.
    """
    control.looking = 1
    try:
        child = os.fork()
    except OSError:
        control.looking, control.looked = 0, 1
        return None
    if child:
        return Looker(child, path)
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        _look_on(pid, control, clock, path)
    finally:
        control.looked = 1
        os._exit(0)
