"""Symbols: which functions and source lines addresses in a process were, from the files on disk."""

import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import attrs
import cxxfilt
import rust_demangler
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from rust_demangler.rust_v0 import UnableTov0Demangle
from symbolic.debuginfo import Archive
from symbolic.exceptions import SymbolicError
from symbolic.symcache import SymCache

from patalloc.watch.events import Module

# Where distributions put what they strip (gdb's documentation, "Debugging Information in Separate
# Files").
_DEBUG_FILES = Path("/usr/lib/debug/.build-id")


@attrs.frozen
class Location:
    """A place in the code.

    Attributes:
        function: its name, demangled; None where there are no symbols.
        file: of the source; None where there is no debug information.
        line: in it; None likewise.
        module: the path of the program or library; None for code that is from no file.
        offset: of the address in the module, as from the first byte of its file; of code from no
            file, the address.
    """

    function: str | None
    file: str | None
    line: int | None
    module: str | None
    offset: int


@cache
def _symbols(path: str, build_id: str) -> SymCache | None:
    """Those of a file, if it is the one that was mapped then."""
    try:
        for found in Archive.open(path).iter_objects():
            if not build_id or found.code_id == build_id:
                return found.make_symcache()
    except (OSError, SymbolicError):
        pass
    return None


@cache
def _build_id(path: str) -> str:
    """Of the file as it is now; empty where it has none."""
    try:
        return next((each.code_id or "" for each in Archive.open(path).iter_objects()), "")
    except (OSError, SymbolicError):
        return ""


@cache
def _linked(path: str) -> str | None:
    """The debug file that a file names by a link, and a checksum of it (objcopy(1)).

    It lies beside it, in .debug there, or below /usr/lib/debug.
    """
    with suppress(OSError, ELFError), Path(path).open("rb") as file:
        section = ELFFile(file).get_section_by_name(".gnu_debuglink")
        name, _, rest = section.data().partition(b"\0") if section else (b"", b"", b"")
        folder = Path(path).resolve().parent
        for place in (folder, folder / ".debug", _DEBUG_FILES.parent / folder.relative_to("/")):
            found = place / os.fsdecode(name)
            if name and found.is_file():
                checksum = zlib.crc32(found.read_bytes()).to_bytes(4, "little")
                return str(found) if rest.endswith(checksum) else None
    return None


def _sources(module: Module) -> list[SymCache]:
    """The module's symbols, the richest first: a debug file's, its own."""
    build_id = module.build_id or _build_id(module.path)
    debug = _DEBUG_FILES / build_id[:2] / f"{build_id[2:]}.debug"
    paths = [str(debug)] if build_id else []
    paths += [linked] if (linked := _linked(module.path)) else []
    return [found for path in (*paths, module.path) if (found := _symbols(path, build_id))]


# How the library for Rust's names writes what is the number of another in its scope.
_NUMBERED = re.compile(r"\{(\w+):#")


def demangle(symbol: str) -> str:
    """A function's name as its language has it: C++'s (Itanium ABI), Rust's (v0 and legacy).

    Where that can't be told, as without the C++ runtime, whose demangler it is, the symbol: no name
    rather than a wrong one.
    """
    try:
        if symbol.startswith("_Z"):
            return str(cxxfilt.demangle(symbol))
        if not symbol.startswith("_R"):
            return symbol
        name = _NUMBERED.sub(r"{\1#", str(rust_demangler.demangle(symbol)))
    except (cxxfilt.Error, UnableTov0Demangle, IndexError, ValueError):
        return symbol
    return symbol if "?" in name else name  # a lifetime, with the rest of the name left out


def locate_in(stack: Iterable[int], modules: Sequence[Module]) -> Iterator[Location]:
    """Where the addresses of a call stack were, as locate has it."""
    for address in stack:
        module = next((each for each in modules if each.start <= address < each.end), None)
        yield from locate(module, address)


def locate(module: Module | None, address: int) -> list[Location]:
    """Where an address in this module was: the innermost inlined function first.

    A module that has been changed since, by its build id, is not looked at; one whose build id was
    not noted is taken to be the same.
    """
    if module is None:
        return [Location(None, None, None, None, address)]
    offset = address - module.base
    for symbols in _sources(module):
        entries = symbols.lookup(offset)  # type: ignore[no-untyped-call]
        found = [
            Location(
                demangle(each.symbol),
                each.full_path or None,
                each.line or None,
                module.path,
                offset,
            )
            for each in entries
            if each.symbol
        ]
        if found:
            return found
    return [Location(None, None, None, module.path, offset)]
