"""Whether a program can be reached: whether it loads libpatalloc.so, and calls its malloc."""

import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment


def _loader(program: Path) -> str | None:
    """The dynamic linker that an ELF file asks for: empty for none, "32" for one of 32 bits.

    None for a file of another kind.
    """
    with program.open("rb") as file, suppress(ELFError):
        image = ELFFile(file)
        if image.elfclass != 64:
            return "32"
        asked = (part for part in image.iter_segments() if isinstance(part, InterpSegment))
        return next((str(part.get_interp_name()) for part in asked), "")
    return None


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
    with suppress(OSError):
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
