"""How much of a program's memory its heap has, and which allocators it does not see."""

import mmap
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

import attrs
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

# What is in the code of allocators that take their memory from the kernel.
_ALLOCATORS = {
    "jemalloc": b"<jemalloc>: ",
    "mimalloc": b"mimalloc: ",
    "tcmalloc": b"tcmalloc: ",
    "snmalloc": b"snmalloc: ",
    "Go's runtime": b"runtime: out of memory: cannot allocate ",
    "Java's heap": b"Java HotSpot(TM)",
}
_MAPPING = re.compile(
    r"(?m)^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)\n(?:[A-Z].*\n)*?Anonymous: +(\d+) kB"
)


@attrs.frozen
class Coverage:
    """Of processes, as they ended.

    Attributes:
        anonymous: bytes of memory that is not of files, nor of variables behind them, but for the
            first thread's stack.
        heap: how many of them were in blocks of malloc's.
        files: whose code they had mapped.
    """

    anonymous: int = 0
    heap: int = 0
    files: frozenset[str] = frozenset()

    @property
    def unseen(self) -> tuple[str, ...]:
        """Allocators in these files that take their memory elsewhere, as "jemalloc in FILE"."""
        found = sorted((path, allocator_in(path)) for path in self.files)
        return tuple(f"{name} in {Path(path).name}" for path, name in found if name)


def read(paths: Iterable[Path]) -> Coverage:
    """From what processes have written at their ends (proc(5): smaps)."""
    anonymous = heap = 0
    files: set[str] = set()
    for path in paths:
        text = path.read_text(errors="surrogateescape")
        known = re.match(r"heap 0x([0-9a-f]+)-0x([0-9a-f]+)\n", text)
        low, high = (int(each, 16) for each in known.groups()) if known else (0, 0)
        before, behind = "", ""
        for start, end, access, name, kilobytes in _MAPPING.findall(text):
            ours = low <= int(start, 16) < high or name == "[heap]"
            variables = not name and start == behind and before.startswith("/")
            before, behind = name or before * variables, end
            if ours or (not name and not variables) or name.startswith("[anon"):
                anonymous += int(kilobytes) << 10
                heap += (int(kilobytes) << 10) * ours
            elif "x" in access and name.startswith("/"):
                files.add(name)
    return Coverage(anonymous, heap, frozenset(files))


@cache
def allocator_in(path: str) -> str:
    """Which of another's is in the file's code, unless it is there as malloc; empty for none."""
    with suppress(OSError, ELFError, ValueError), open(path, "rb") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            name = next((name for name, mark in _ALLOCATORS.items() if data.find(mark) >= 0), "")
        symbols = ELFFile(file).get_section_by_name(".dynsym") if name else None
        table = symbols if isinstance(symbols, SymbolTableSection) else None
        found = table.get_symbol_by_name("malloc") if table else None
        as_malloc = any(each["st_shndx"] != "SHN_UNDEF" for each in found or ())
        return "" if as_malloc else name
    return ""
