"""Whether a program can be reached: whether it loads libpatalloc.so, and calls its malloc."""

import os
import shutil
import stat
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_INTERP = 3  # PT_INTERP (elf(5))
_BITS_64 = 2  # ELFCLASS64, in e_ident
_SEGMENT = struct.Struct("<IIQQQQ")  # type, flags, offset, address twice, bytes in the file


def _loader(program: Path) -> str | None:
    """The dynamic linker that an ELF file asks for: empty for none, "32" for one of 32 bits.

    None for a file of another kind.
    """
    with program.open("rb") as file:
        start = file.read(64)
        if len(start) < 64 or start[:4] != b"\x7fELF":
            return None
        if start[4] != _BITS_64:
            return "32"
        offset, entry, count = struct.unpack_from(
            "<Q14xHH", start, 32
        )  # e_phoff, its size and count
        for number in range(count):
            file.seek(offset + number * entry)
            kind, _, at, _, _, size = _SEGMENT.unpack(file.read(_SEGMENT.size))
            if kind == _INTERP:
                file.seek(at)
                return file.read(size).rstrip(b"\0").decode(errors="replace")
    return ""


def _interpreter(program: Path) -> Path:
    """What runs a script (execve(2)); the file itself where it is none."""
    with program.open("rb") as file:
        first = file.readline(256)
    words = first[2:].split() if first.startswith(b"#!") else []
    return Path(os.fsdecode(words[0])) if words else program


def obstacle(command: Sequence[str], environment: Mapping[str, str] = os.environ) -> str | None:
    """Why the program that the command starts does not load a library that is preloaded.

    It is static, or its C library is not glibc (musl ignores nothing of ours, but has another
    malloc), or it gets privileges when it starts (ld.so(8), "Secure-execution mode").

    Returns:
        a sentence; None where nothing is known to be in the way.
    """
    found = shutil.which(command[0], path=environment.get("PATH"))
    with suppress(OSError, struct.error):
        if not found:
            return None
        program = _interpreter(Path(found))
        mode = program.stat()
        gains = (mode.st_mode & stat.S_ISUID and mode.st_uid != os.geteuid()) or (
            mode.st_mode & stat.S_ISGID and mode.st_gid != os.getegid()
        )
        if gains or _has_capabilities(program):
            return f"{program} gets privileges when it starts, and ignores LD_PRELOAD"
        loader = _loader(program)
        if loader == "":
            return f"{program} is static: no library can be preloaded"
        if loader == "32":
            return f"{program} has 32 bits"
        if loader and "musl" in loader:
            return f"{program} has musl as its C library, not glibc"
    return None


def _has_capabilities(program: Path) -> bool:
    with suppress(OSError):
        return os.geteuid() != 0 and bool(os.getxattr(program, "security.capability"))
    return False
