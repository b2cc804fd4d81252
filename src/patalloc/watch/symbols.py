"""Symbols: which functions and source lines addresses in a process were, from the files on disk."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import attrs
import cxxfilt
import drgn
import rust_demangler
from elftools.common.exceptions import DWARFError, ELFError
from elftools.dwarf.aranges import ARanges
from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.elf.elffile import ELFFile
from rust_demangler.rust_v0 import UnableTov0Demangle

from patalloc.watch.events import Module


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


# In a program of drgn's the file has these addresses, and so many at most.
_START, _MOST = 1 << 32, 1 << 40


@cache
def _opened(path: str, build_id: str) -> tuple[drgn.Program, drgn.Module]:
    """A file, if it has this build id still, with all that tells of it.

    That is its debug file, by build id, link or debuginfod(8), and the files that dwz(1) or the
    compiler (-gsplit-dwarf) has made of parts of it.
    """
    program = drgn.Program()
    module = program.extra_module(path, create=True)
    module.address_range = (_START, _START + _MOST)
    with suppress(ValueError):
        module.build_id = bytes.fromhex(build_id) or None
    with suppress(OSError, ValueError, LookupError):
        module.try_file(path)
        if not build_id and not module.loaded_file_path:
            return program, module
        program.load_module_debug_info(module)
    return program, module


@cache
def _compiled(path: str) -> tuple[DWARFInfo, ARanges | None, int] | None:
    """What a file has noted of how its code was compiled; and its first address."""
    with suppress(OSError, ELFError, DWARFError, KeyError):
        elf = ELFFile(Path(path).open("rb"))  # noqa: SIM115 (it is read as long as it is kept)
        first = min(each["p_vaddr"] for each in elf.iter_segments("PT_LOAD"))
        dwarf = elf.get_dwarf_info(follow_links=False)
        return dwarf, dwarf.get_aranges(), first
    return None


def _folder(unit: CompileUnit) -> str:
    attribute = unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
    return os.fsdecode(attribute.value) if attribute else ""


@cache
def _only_folder(path: str) -> str:
    """That in which all of a file was compiled; empty where there are several."""
    compiled = _compiled(path)
    folders = set(map(_folder, compiled[0].iter_CUs() if compiled else ()))
    return folders.pop() if len(folders) == 1 else ""


def _compiled_in(path: str, offset: int) -> str:
    """The directory in which the code there was compiled; empty where that can't be told.

    Without the section .debug_aranges, as of clang's, it can where there is only one.
    """
    compiled = _compiled(path)
    if compiled is None:
        return ""
    dwarf, ranges, first = compiled
    if ranges is None:
        return _only_folder(path)
    unit = ranges.cu_offset_at_addr(first + offset)
    return "" if unit is None else _folder(dwarf.get_CU_at(unit))


def _source(module: drgn.Module, offset: int, name: str) -> str:
    """A source's path: where the compiler was given a relative one, from where it ran."""
    if name.startswith("/") or not module.debug_file_path:
        return name
    return os.path.normpath(Path(_compiled_in(module.debug_file_path, offset), name))


# How the library for Rust's names writes what is the number of another in its scope.
_NUMBERED = re.compile(r"\{(\w+):#")


# Rust's names before v0 look like C++'s, and end with a hash.
_LEGACY = re.compile(r"17h[0-9a-f]{16}E$")


def demangle(symbol: str) -> str:
    """A function's name as its language has it: C++'s (Itanium ABI), Rust's (v0 and legacy).

    Where that can't be told, as without the C++ runtime, whose demangler it is, the symbol: no name
    rather than a wrong one.
    """
    try:
        if symbol.startswith("_Z") and not _LEGACY.search(symbol):
            return str(cxxfilt.demangle(symbol))
        if not symbol.startswith(("_R", "_Z")):
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


# What compilers add to the name of a part or a variant of a function.
_CLONE = re.compile(r"\.(?:cold|part|isra|constprop|lto_priv|llvm|localalias|clone)(?:\.|$)")


def _symbol(program: drgn.Program, offset: int) -> str | None:
    """The symbol that an address is in.

    Of parts that were split from functions (as f.cold) only where there is one: of those that lie
    at one address all but one are wrong.
    """
    names = {each.name for each in program.symbols(_START + offset)}
    whole = sorted(name for name in names if not _CLONE.search(name))
    parts = {_CLONE.split(name)[0] for name in names}
    return whole[0] if whole else parts.pop() if len(parts) == 1 else None


def _function(name: str | None, symbol: str | None) -> str | None:
    """A function's full name, as its symbol has it.

    If that is another's, as of an alias or the part of a function: as the debug information has it.
    """
    full = demangle(symbol) if symbol else None
    name = demangle(name) if name else None  # Rust's compiler writes the symbol there
    return full if name is None or (full and name.partition("<")[0] in full) else name


# How drgn writes a place: a number where there are several, a name, and where that is.
_PLACE = re.compile(r"(?:#\d+ +)?(.+) at (.+?):(\d+)(?::\d+)?")


def locate(module: Module | None, address: int) -> list[Location]:
    """Where an address in this module was: the innermost inlined function first.

    A module that has been changed since, by its build id, is not looked at; one whose build id was
    not noted is taken to be the same.
    """
    if module is None:
        return [Location(None, None, None, None, address)]
    offset = address - module.base
    program, opened = _opened(module.path, module.build_id)
    symbol = _symbol(program, offset)
    try:
        places = str(program.source_location(_START + offset)).splitlines()
    except LookupError:
        function = demangle(symbol) if symbol else None
        return [Location(function, None, None, module.path, offset)]
    found = []
    for number, place in enumerate(filter(None, map(_PLACE.fullmatch, places))):
        name = None if place[1] == "???" else place[1]
        is_outer = number == len(places) - 1
        function = _function(name, symbol) if is_outer else name and demangle(name)
        file = _source(opened, offset, place[2])
        found.append(Location(function, file, int(place[3]), module.path, offset))
    return found
