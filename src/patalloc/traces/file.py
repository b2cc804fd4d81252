"""Trace files: chunks, each compressed, behind a line that says what it is (docs/traces.md)."""

import errno
import json
import os
import struct
import zlib
from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

import attrs
import zstandard

from patalloc._core import ffi, lib
from patalloc.errors import TraceError
from patalloc.traces.maps import Known, Totals, parse, totals, unpack
from patalloc.watch import Module
from patalloc.watch.heapmap import Map

VERSION = 1
_MAGIC = b"patalloc trace "
_FIRST = _MAGIC + b"%d\n" % VERSION
# What it is; the bytes that are not compressed, those that are, and what they are then; CRC-32
# of the name and the bytes.
_CHUNK = struct.Struct("<4sIIII")
_SUMMARY = struct.Struct("<7Q")  # in front of events
_BATCH = 4096
_MOST = 1 << 28  # bytes of a chunk
_LEVEL = 1  # of compression
_READ = 1 << 20  # bytes at a time
_T = TypeVar("_T")


class Kind(IntEnum):
    """What an event is."""

    MALLOC = 1
    CALLOC = 2
    ALIGNED = 3
    FREE = 4
    RESIZE = 5  # by realloc, which may have moved it
    WRITTEN = 6  # pages of a block of 1 MiB and more, before it is freed or at the end
    STRANGE = 7  # a block was freed that the trace has not: from before it began
    MISSED = 8  # a block was freed while nothing was recorded


@attrs.frozen
class Event:
    """Something that a program has asked of malloc.

    Attributes:
        kind: what. thread: numbered as they came, from 0.
        time: in microseconds from the begin of the trace.
        size: bytes, as requested (of what is freed as it was; RESIZE: the new one); WRITTEN: pages.
        slot: the block's number; numbers are used again.
        stack: the number of the call stack; 0: not known.
        alignment: log2 of it. first: of the pages written the first one in the block.
    """

    kind: Kind
    thread: int
    time: int
    size: int
    slot: int
    stack: int
    alignment: int
    first: int


@attrs.frozen
class Summary:
    """Of a chunk of events; times in microseconds from the begin of the trace.

    Attributes:
        events: how many.
        first: the time of the first one; last: of the last one.
        live_bytes: as requested, of the blocks that are live behind it; live_blocks: how many.
        peak_bytes: the most live bytes in it; peak_event: behind how many of its events that is.
    """

    events: int
    first: int
    last: int
    live_bytes: int
    live_blocks: int
    peak_bytes: int
    peak_event: int


class Writer:
    """Writes a trace, chunk by chunk: what was written can be read if nothing comes behind it."""

    def __init__(self, file: IO[bytes], start: dict[str, Any]) -> None:
        """Begin.

        Args:
            file: open for writing, without a buffer.
            start: what is known of the process.
        """
        self._file = file
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self.size = 0
        self._put(_FIRST)
        self.json("STRT", start)

    def chunk(self, name: str, data: bytes, front: bytes = b"") -> None:
        """Append one."""
        packed = self._compressor.compress(data)
        checksum = zlib.crc32(name.encode() + front + packed)
        head = _CHUNK.pack(name.encode(), len(front), len(packed), len(data), checksum)
        self._put(head + front + packed)

    def _put(self, data: bytes) -> None:
        """All of it, or nothing."""
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(self.size)
            raise
        self.size += len(data)

    def events(self, chunk: bytes) -> None:
        """Append events, as trace_writer_chunk has them (codec.h)."""
        self.chunk("EVTS", chunk, chunk[: _SUMMARY.size])

    def json(self, name: str, data: object) -> None:
        """The same, of what JSON can have."""
        self.chunk(name, json.dumps(data).encode(errors="surrogateescape"))

    def close(self) -> None:
        """End the file."""
        self._file.close()

    def stacks(self, stacks: list[tuple[int, ...]]) -> None:
        """Append call stacks, which are numbered as they come, from 1."""
        parts = [struct.pack(f"<I{len(each)}Q", len(each), *each) for each in stacks]
        self.chunk("STAK", b"".join(parts))

    def names(self, names: dict[int, tuple[str, str]]) -> None:
        """Append what calls of Python are called, by number: file and function."""
        self.json("NAME", [[number, *each] for number, each in names.items()])

    def modules(self, modules: tuple[Module, ...]) -> None:
        """Append all that are known: they take the place of those before."""
        self.json("MODS", [[each.path, each.base, each.start, each.end] for each in modules])


def is_trace(path: Path) -> bool:
    """Whether a file says that it is one; of which version it does not matter."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def named(frame: int) -> tuple[int, int] | None:
    """Of a call of Python's the number of its name, and its line (0: not known); else None."""
    if frame < lib.STACK_NAMED:
        return None
    frame -= lib.STACK_NAMED
    return frame >> lib.STACK_NAME_SHIFT, frame & ((1 << lib.STACK_NAME_SHIFT) - 1)


def _stacks_in(data: bytes) -> Iterator[tuple[int, ...]]:
    at = 0
    while at < len(data):
        (count,) = struct.unpack_from("<I", data, at)
        yield struct.unpack_from(f"<{count}Q", data, at + 4)
        at += 4 + 8 * count


class Trace:
    """A trace file that is read.

    Attributes:
        path: its own.
        start: what was known of the process when it began.
        end: what was known when it ended; None if it has no end, as who wrote it was killed.
        stacks: addresses inside the calls, the innermost first, by number; 0 is none. One from
            2 ** 63 on is a call of Python's (`named`).
        modules: where these are from.
        names: of calls of Python's the files and functions, by number.
        chunks: of the events, with where each lies in the file.
        samples: of the process's memory, a dict each.
    """

    def __init__(self, path: Path | str) -> None:
        """Read all but the events.

        Raises:
            OSError: the file can't be read.
            TraceError: it is no trace, of a version that is not known here, or cut or damaged.
        """
        self.path = Path(path)
        self.start: dict[str, Any] = {}
        self.end: dict[str, Any] | None = None
        self.stacks: list[tuple[int, ...]] = [()]
        self.modules: tuple[Module, ...] = ()
        self.names: dict[int, tuple[str, str]] = {}
        self.chunks: list[tuple[Summary, int]] = []
        self.samples: list[dict[str, Any]] = []
        self._maps: list[int] = []
        self._file = self.path.open("rb")
        self._decompressor = zstandard.ZstdDecompressor()
        self._read()

    def __enter__(self) -> Self:
        """The trace itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()

    def _wrong(self, what: str) -> TraceError:
        return TraceError(f"{self.path}: {what}")

    def _read(self) -> None:
        first = self._file.readline(64)
        if not first.startswith(_MAGIC):
            raise self._wrong("no trace of patalloc's")
        if first != _FIRST:
            version = first[len(_MAGIC) :].strip().decode(errors="replace")
            raise self._wrong(f"a trace of version {version}; this patalloc reads {VERSION}")
        size = os.fstat(self._file.fileno()).st_size
        at = len(_FIRST)
        while at < size:
            name, length = self._head_at(at, size)
            self._check(at, length)
            self._file.seek(at + _CHUNK.size)
            if name == b"EVTS":
                raw = self._file.read(_SUMMARY.size)
                self.chunks.append((Summary(*_SUMMARY.unpack(raw)), at))
            elif name == b"HMAP":
                self._maps.append(at)
            else:
                self._take(name.decode(errors="replace"), at)
            at += length
        if not self.start:
            raise self._wrong("cut: nothing is in it")

    def _check(self, at: int, length: int) -> None:
        """A chunk's checksum."""
        self._file.seek(at)
        head = self._file.read(_CHUNK.size)
        checksum, left = zlib.crc32(head[:4]), length - _CHUNK.size
        while left and (data := self._file.read(min(left, _READ))):
            checksum, left = zlib.crc32(data, checksum), left - len(data)
        if checksum != _CHUNK.unpack(head)[4]:
            raise self._wrong(f"damaged at byte {at:,}: a wrong checksum")

    def _head_at(self, at: int, size: int) -> tuple[bytes, int]:
        """What a chunk is, and its whole length."""
        self._file.seek(at)
        head = self._file.read(_CHUNK.size)
        name, front, packed, whole, _ = _CHUNK.unpack(head.ljust(_CHUNK.size, b"\0"))
        length = _CHUNK.size + front + packed
        if len(head) < _CHUNK.size or at + length > size:
            raise self._wrong(f"cut within the chunk at byte {at:,}")
        if whole > _MOST or (name == b"EVTS" and front != _SUMMARY.size):
            raise self._wrong(f"damaged at byte {at:,}")
        return name, length

    def _chunk_at(self, at: int) -> bytes:
        """Its content, without what is in front of it."""
        self._file.seek(at)
        name, front, packed, whole, checksum = _CHUNK.unpack(self._file.read(_CHUNK.size))
        data = self._file.read(front + packed)
        if zlib.crc32(name + data) != checksum:
            raise self._wrong(f"damaged at byte {at:,}: a wrong checksum")
        try:
            return self._decompressor.decompress(data[front:], max_output_size=whole)
        except zstandard.ZstdError as error:
            raise self._wrong(f"damaged at byte {at:,}: {error}") from None

    def _take(self, name: str, at: int) -> None:
        """A chunk of another kind; kinds that are not known here are passed over."""
        data = self._chunk_at(at)
        if name == "STAK":
            self.stacks.extend(_stacks_in(data))
        elif name in ("STRT", "ENDS", "MODS", "NAME", "SMPL"):
            found = json.loads(data.decode(errors="surrogateescape"))
            if name == "STRT":
                self.start = found
            elif name == "ENDS":
                self.end = found
            elif name == "SMPL":
                self.samples.extend(found)
            elif name == "NAME":
                self.names.update((number, (file, function)) for number, file, function in found)
            else:
                self.modules = tuple(
                    Module(path=path, base=hex(base), start=hex(start), end=hex(end), build_id="")
                    for path, base, start, end in found
                )

    def readers(self) -> Iterator[Any]:
        """A struct trace_reader (codec.h) that has the next chunk, for each of them.

        Raises:
            TraceError: a chunk is damaged.
        """
        reader = ffi.gc(lib.trace_reader_new(), lib.trace_reader_free)
        summary = ffi.new("struct trace_summary *")
        for _, at in self.chunks:
            data = self._chunk_at(at)
            held = ffi.from_buffer(data)
            if not lib.trace_reader_chunk(reader, held, len(data), summary):
                raise self.damaged()
            yield reader

    def damaged(self) -> Exception:
        """For events that can't be, unless there was no memory for them."""
        if ffi.errno == errno.ENOMEM:
            return MemoryError()
        return self._wrong("damaged: events that can't be")

    def _each_map(self, read: Callable[[int, bytes], _T]) -> Iterator[_T]:
        for number, at in enumerate(self._maps):
            packed = self._chunk_at(at)
            try:
                yield read(number, packed)
            except (ValueError, LookupError, struct.error):
                raise self._wrong("damaged: a map that can't be") from None

    def heap_totals(self) -> Iterator[Totals]:
        """What the maps of the process's heap come to, from time to time.

        Raises:
            TraceError: one is damaged.
        """
        known: Known = {}
        yield from self._each_map(lambda _, packed: totals(packed, known))

    def heap_maps(self, wanted: Container[int] | None = None) -> Iterator[tuple[int, Map]]:
        """The heap from time to time: microseconds from the trace's begin, and the map.

        Args:
            wanted: of which, counted from 0; None for all.

        Raises:
            TraceError: one is damaged.
        """
        known: Known = {}
        pid = self.start.get("process", 0)

        def read(number: int, packed: bytes) -> tuple[int, Map] | None:
            if wanted is None or number in wanted:
                return unpack(packed, pid, known)
            parse(packed, known)
            return None

        yield from filter(None, self._each_map(read))

    def batches(self) -> Iterator[Any]:
        """All events in order, in arrays of struct trace_event (codec.h), which are reused.

        Raises:
            TraceError: a chunk is damaged.
        """
        events = ffi.new(f"struct trace_event[{_BATCH}]")
        for reader in self.readers():
            while count := lib.trace_reader_events(reader, events, _BATCH):
                if count < 0:
                    raise self.damaged()
                yield events[0:count]

    def events(self) -> Iterator[Event]:
        """All events in order, one by one: slow, for what is short."""
        for batch in self.batches():
            for each in batch:
                yield Event(
                    Kind(each.kind),
                    each.thread,
                    each.time,
                    each.size,
                    each.slot,
                    each.stack,
                    each.alignment,
                    each.first,
                )
