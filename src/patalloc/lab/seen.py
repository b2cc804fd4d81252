"""Whether a program's blocks are an allocator's: what is not used can't be measured."""

import os
from pathlib import Path

import attrs

from patalloc.lab.launcher import Program, launch, tool
from patalloc.lab.points import Point
from patalloc.reach import obstacle


@attrs.frozen
class Seen:
    """What a run has shown.

    Attributes:
        why_not: why its blocks are not the allocator's; "" where they are.
        is_called: whether it has called malloc at all.
    """

    why_not: str
    is_called: bool = True


def look(program: Program, point: Point, directory: Path) -> Seen:
    """Run it once.

    Raises:
        OSError: it can't be started.
    """
    base = {name: each for name, each in os.environ.items() if name != "LD_PRELOAD"}
    environment = point.environment(base)
    found = directory / "seen"
    found.unlink(missing_ok=True)
    preloaded = f"{tool('libpatalloc_seen.so')} {environment.get('LD_PRELOAD', '')}"
    environment |= {"LD_PRELOAD": preloaded.strip(), "PATALLOC_SEEN": str(found)}
    why = obstacle(program.command, environment)
    if why:
        return Seen(why)
    run = launch(program, environment, directory, library=point.library)
    lines = found.read_text().splitlines() if found.exists() else []
    if not lines:
        ended = run.status is not None and run.status >= 0
        return Seen("no library can be preloaded in it" if ended else "")
    whose = [line for line in lines if line != "called"] or ["unknown"]  # its own line is first
    if whose[0] == "own":
        return Seen("it has a malloc of its own: none of its blocks is the allocator's")
    if point.library and run.is_mapped is False:
        return Seen(f"{point.library} is not mapped in it")
    if point.library and not _is(whose[0], point.library):
        return Seen(f"its malloc is that of {whose[0]}, not of {point.library}")
    return Seen("", "called" in lines)


def _is(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
