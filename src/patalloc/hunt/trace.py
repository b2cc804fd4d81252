"""Traces: how many allocations a process made, by call stack (option `trace`)."""

import struct
from contextlib import suppress
from functools import cache
from pathlib import Path

import attrs
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from patalloc.watch import Module

_HEADER = struct.Struct("8sQQII")
_OBJECT = struct.Struct("QQQ232s")
_OBJECTS = 256
_BUCKETS = 1 << 14
_STACK = struct.Struct("IIIIQQQQ")
_MOST = 64  # frames of one
_UNIT = 8  # stacks are called by their place in such
_MAGIC = b"patstk1\n"


@attrs.frozen
class Site:
    """A call stack that allocates.

    Attributes:
        identity: what it is called in every run of the program: made of its frames' places in their
            programs and libraries.
        allocations: how many there were but for calloc's; bytes: of them all, as requested;
            largest: of one.
        stack: addresses inside the calls, the innermost first, in this process.
        zeros: how many there were of calloc's, which hold zeros; in bytes and largest, too.
    """

    identity: int
    allocations: int
    bytes: int
    largest: int
    stack: tuple[int, ...]
    zeros: int = 0


@attrs.frozen
class Trace:
    """A process's allocations."""

    sites: tuple[Site, ...]
    modules: tuple[Module, ...]


@cache
def _first_address(path: str) -> int | None:
    """The lowest of a program or library, as its file has it: the loader may map it in parts."""
    with suppress(OSError, ELFError), open(path, "rb") as file:
        segments = ELFFile(file).iter_segments("PT_LOAD")
        return min((each["p_vaddr"] & ~0xFFF for each in segments), default=None)
    return None


def _modules(header: bytes, listed: bytes) -> tuple[Module, ...]:
    _, _, _, objects_used, _ = _HEADER.unpack(header)
    modules = []
    for start, end, load, name in list(_OBJECT.iter_unpack(listed))[:objects_used]:
        path = name.rstrip(b"\0").decode(errors="surrogateescape")
        first = _first_address(path)
        base = start if first is None else load + first
        place = {"base": hex(base), "start": hex(start), "end": hex(end)}
        modules.append(Module(path=path, build_id="", **place))
    return tuple(modules)


@attrs.frozen
class Table:
    """The call stacks of a process that goes on.

    Attributes:
        data: the file, mapped.
    """

    data: memoryview

    @property
    def modules(self) -> tuple[Module, ...]:
        """Where the code on them is from."""
        end = _HEADER.size + _OBJECT.size * _OBJECTS
        return _modules(bytes(self.data[: _HEADER.size]), bytes(self.data[_HEADER.size : end]))

    def stack(self, number: int) -> tuple[int, ...]:
        """The one of that number: addresses inside the calls, the innermost first."""
        at = number * _UNIT
        if at + _STACK.size > len(self.data):
            return ()
        frames = _STACK.unpack_from(self.data, at)[2]
        if frames > _MOST or at + _STACK.size + 8 * frames > len(self.data):
            return ()  # the process may have overwritten it
        found: tuple[int, ...] = struct.unpack_from(f"{frames}Q", self.data, at + _STACK.size)
        return found

    def name(self, number: int) -> tuple[str, str]:
        """What a call of Python's is called, by number: its file, and the function."""
        words = self.stack(number)
        text = struct.pack(f"{len(words)}Q", *words).decode(errors="replace").split("\0")
        return text[0], text[1] if len(text) > 1 else ""


def read(file_path: Path, *, zeros: bool = False) -> Trace:
    """The trace that a process has left, or is writing.

    Args:
        file_path: the file.
        zeros: whether sites are wanted where calloc alone is called.

    Raises:
        OSError: the file can't be read.
        ValueError: it is no trace.
    """
    with file_path.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(_MAGIC):
            raise ValueError(f"{file_path}: no trace of patalloc's")
        used = _HEADER.unpack(header)[2]
        listed = file.read(_OBJECT.size * _OBJECTS)
        file.seek(4 * _BUCKETS, 1)
        data = file.read(used)
    sites, at = [], 0
    while at + _STACK.size <= len(data):
        _, _, frames, of_zeros, identity, allocations, size, largest = _STACK.unpack_from(data, at)
        if not frames:
            break  # not written yet, when the process ended
        stack = struct.unpack_from(f"{frames}Q", data, at + _STACK.size)
        if allocations or (zeros and of_zeros):
            sites.append(Site(identity, allocations, size, largest, stack, of_zeros))
        at += _STACK.size + 8 * frames
    return Trace(tuple(sites), _modules(header, listed))
