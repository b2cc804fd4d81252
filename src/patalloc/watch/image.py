"""Images of processes: memory and what is mapped in it, of one that runs or out of a core dump."""

import os
from collections.abc import Iterator
from errno import EINVAL
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Protocol

import attrs
from elftools.common.exceptions import ELFError
from elftools.elf.constants import P_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import NoteSegment

from patalloc.watch.events import Module


@attrs.frozen
class Mapping:
    """A range of addresses, as /proc/PID/maps has it (proc(5)).

    Attributes:
        start: its first address; end: that behind it.
        offset: of the start in the file, bytes.
        permissions: rwxp; of a core dump only the first three, and empty of what it lacks.
        name: a path, or [heap] and so on; empty for memory alone.
    """

    start: int
    end: int
    offset: int
    permissions: str
    name: str


class _Memory(Protocol):
    def read(self, address: int, size: int) -> bytes: ...


@attrs.frozen
class _Live:
    """The memory of a running process (proc(5), /proc/PID/mem)."""

    descriptor: int

    def read(self, address: int, size: int) -> bytes:
        return os.pread(self.descriptor, size, address)


@attrs.frozen
class _Dumped:
    """The memory in a core dump (core(5)), which lacks what the kernel was told to leave out."""

    file: ELFFile

    def read(self, address: int, size: int) -> bytes:
        parts = []
        for segment in self.file.iter_segments("PT_LOAD"):
            start, dumped = segment["p_vaddr"], segment["p_filesz"]
            if size and start <= address < start + dumped:
                count = min(size, start + dumped - address)
                self.file.stream.seek(segment["p_offset"] + address - start)
                parts.append(self.file.stream.read(count))
                address, size = address + count, size - count
        return b"".join(parts)


@attrs.frozen
class Note:
    """A note (elf(5)) in the memory of a program or library: its owner, type, and content.

    Attributes:
        owner: who defines what it means. type: a number, or the name that GNU gave that.
        content: of it. address: of that, in the process.
    """

    owner: str
    type: int | str
    content: bytes
    address: int


@attrs.define(slots=False)
class Image:
    """A process's memory.

    Attributes:
        mappings: what is mapped in it, in the order of addresses.
        what: it is, for messages.
    """

    what: str
    mappings: tuple[Mapping, ...]
    _memory: _Memory
    _notes: dict[int, tuple[Note, ...]] = attrs.field(factory=dict, init=False, repr=False)

    def read(self, address: int, size: int) -> bytes:
        """So many bytes at an address.

        Raises:
            ValueError: they can't be read, not all of them.
        """
        try:
            found = self._memory.read(address, size)
        except (OSError, OverflowError, MemoryError):
            found = b""
        if len(found) != size:
            raise ValueError(f"{self.what} has no {size} bytes at {address:#x} that can be read")
        return found

    def at(self, address: int) -> Mapping | None:
        """The mapping that an address is in."""
        return next((each for each in self.mappings if each.start <= address < each.end), None)

    def notes(self, base: int) -> tuple[Note, ...]:
        """Those of a file whose start is mapped at this address; none where it is no ELF file.

        As they were when they were first asked for.
        """
        if base not in self._notes:
            self._notes[base] = tuple(self._read_notes(base))
        return self._notes[base]

    def _read_notes(self, base: int) -> Iterator[Note]:
        try:  # a core dump may have the first page of it alone (core(5))
            head = bytearray(self._memory.read(base, 1 << 12))
            head[0x28:0x30], head[0x3C:0x40] = bytes(8), bytes(4)  # sections, which are not mapped
            for segment in ELFFile(BytesIO(head)).iter_segments():
                for note in segment.iter_notes() if isinstance(segment, NoteSegment) else ():
                    content = note["n_descdata"]
                    at = note["n_offset"] + 12 + (note["n_namesz"] + 3 & ~3)
                    yield Note(note["n_name"], note["n_type"], content, base + at)
        except (ELFError, OSError, ValueError, KeyError):
            return

    @property
    def code(self) -> frozenset[str]:
        """The files that code may be from: others are not read, as that would change the process.

        Who reads a page of a file that the process has mapped, and never read, makes it its own.
        """
        return frozenset(
            each.name
            for each in self.mappings
            if each.name.startswith(("/", "[vdso]"))
            and ("x" in each.permissions or not each.permissions)
        )

    @cached_property
    def modules(self) -> tuple[Module, ...]:
        """The files that code may be from, as an event has them."""
        found, base, build_id, path = [], 0, "", ""
        code = self.code
        for each in self.mappings:
            if each.name not in code:
                continue
            if each.offset == 0 or each.name != path:
                path, base = each.name, each.start - each.offset
                ids = (each for each in self.notes(base) if each.type == "NT_GNU_BUILD_ID")
                build_id = next((each.content.hex() for each in ids), "")
            if "x" in each.permissions or not each.permissions:
                found.append(
                    Module(
                        path=path,
                        base=hex(base),
                        start=hex(each.start),
                        end=hex(each.end),
                        build_id=build_id,
                    )
                )
        return tuple(found)


def _read_maps(lines: list[str]) -> Iterator[Mapping]:
    for line in lines:
        span, permissions, offset, _, _, *name = line.rstrip("\n").split(maxsplit=5)
        start, end = (int(part, 16) for part in span.split("-"))
        yield Mapping(start, end, int(offset, 16), permissions, name[0] if name else "")


def of_process(pid: int, memory: int | None = None) -> Image:
    """That of a running process, which goes on meanwhile.

    Args:
        pid: its number.
        memory: a descriptor of /proc/PID/mem, where the caller may not open that, and another may.

    Raises:
        OSError: there is no such process, or this one may not read it (ptrace(2)).
    """
    folder = Path("/proc", str(pid))
    with (folder / "maps").open(errors="surrogateescape") as maps:
        mappings = tuple(_read_maps(maps.readlines()))
    if memory is None:
        memory = os.open(folder / "mem", os.O_RDONLY | os.O_CLOEXEC)
    return Image(f"process {pid}", mappings, _Live(memory))


def _files_of(core: ELFFile) -> Iterator[tuple[int, Mapping]]:
    """What was mapped from files, by address (the note NT_FILE)."""
    for segment in core.iter_segments("PT_NOTE"):
        for note in segment.iter_notes() if isinstance(segment, NoteSegment) else ():
            if note["n_type"] == "NT_FILE":
                files = note["n_desc"]
                names = map(os.fsdecode, files["filename"])
                for each, name in zip(files["Elf_Nt_File_Entry"], names, strict=True):
                    start, offset = each["vm_start"], each["page_offset"] * files["page_size"]
                    yield start, Mapping(start, each["vm_end"], offset, "", name)


def _mappings_of(core: ELFFile) -> Iterator[tuple[int, Mapping]]:
    """All by address. A debugger's dump has no segments of files that were only read."""
    yield from (files := dict(_files_of(core))).items()
    for segment in core.iter_segments("PT_LOAD"):
        start, end = segment["p_vaddr"], segment["p_vaddr"] + segment["p_memsz"]
        flags = zip("rwx", (P_FLAGS.PF_R, P_FLAGS.PF_W, P_FLAGS.PF_X), strict=True)
        permissions = "".join(name if segment["p_flags"] & bit else "-" for name, bit in flags)
        file = files.get(start)
        yield (
            start,
            Mapping(start, end, file.offset if file else 0, permissions, file.name if file else ""),
        )


def of_core(path: Path) -> Image:
    """That of a core dump.

    Raises:
        OSError: it can't be read.
        ValueError: it is none.
    """
    try:
        core = ELFFile(path.open("rb"))
        if core["e_type"] != "ET_CORE":
            raise ValueError(f"{path} is an ELF file, and no core dump")
        mappings = dict(sorted(dict(_mappings_of(core)).items()))
    except (ELFError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no core dump: {error}") from None
    except OSError as error:
        if error.errno != EINVAL:
            raise
        raise ValueError(f"{path} is damaged: it names places that are none") from None
    return Image(str(path), tuple(mappings.values()), _Dumped(core))
