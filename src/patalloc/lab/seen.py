"""Whether a program's blocks are an allocator's: what is not used can't be measured."""

import os
from pathlib import Path

from patalloc.lab.launcher import Program, launch, tool
from patalloc.lab.points import Point
from patalloc.reach import obstacle


def why_not_in_use(program: Program, point: Point, directory: Path) -> str:
    """Why they are not; "" where they are. The program is run once.

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
        return why
    run = launch(program, environment, directory, library=point.library)
    lines = found.read_text().splitlines() if found.exists() else []
    if not lines:
        ended = run.status is not None and run.status >= 0
        return "no library can be preloaded in it, or it ends by _exit(2)" if ended else ""
    if point.library and run.is_mapped is False:
        return f"{point.library} is not mapped in it"
    if "own" in lines:
        return "it has a malloc of its own: none of its blocks is the allocator's"
    told = [(int(count), path) for count, _, path in (line.partition(" ") for line in lines)]
    if point.library and not any(_is(path, point.library) for _, path in told):
        return f"its malloc is that of {told[0][1]}, not of {point.library}"
    return ""


def _is(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
