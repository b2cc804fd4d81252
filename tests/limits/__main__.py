"""What a program gets without the library and with it, under limits and beside others.

`make limits` runs it.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rich.console import Console
from rich.table import Table

from conftest import compile_program
from limits.test_limits import CASES, build_limits, is_as_good, run
from patalloc.preload import library

# Programs of tests/c, and what they are run by and with; which has a word for what it has.
OTHERS = {
    "sandbox before the first block": ("", "sandbox", "before"),
    "sandbox after it": ("", "sandbox", "after"),
    "sandbox with threads": ("", "sandbox", "threads"),
    "descriptors of other threads": ("", "stolen"),
    "fork beside streams": ("threshold=4K", "streams", "{directory}/lines"),
    "fork among signals": ("report=yes", "meanwhile", "signals"),
    "foreign blocks": ("slack_check=all", "deepbind", "{directory}/other.so", "give"),
    "blocks to another malloc": ("slack_check=all", "deepbind", "{directory}/other.so", "take"),
    "tracers: valgrind": ("report=yes", "valgrind", "-q", "--tool=memcheck", "spawner"),
    "tracers: strace": ("count=yes", "strace", "-f", "-o", "/dev/null", "spawner"),
    "tracers: gdb": ("count=yes", "gdb", "-batch", "-nx", "-ex", "run", "spawner"),
    "scanners of mappings": ("without=guard_regions", "scanner", "pointer"),
    "races: the environment": ("count=yes", "environment"),
}
PROGRAMS = (
    "sandbox",
    "stolen",
    "streams",
    "meanwhile",
    "deepbind",
    "spawner",
    "scanner",
    "environment",
)


def tell(command: list[str], options: str | None) -> str:
    """What is left of a run, but for what differs from one to the next."""
    env = dict(os.environ)
    if options is not None:
        env |= {"LD_PRELOAD": str(library()), "PATALLOC_OPTIONS": options}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    # gdb's own lines, which name threads.
    own = ("[", "Using host libthread_db")
    said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith(own)]
    ended = "ok" if done.returncode == 0 else f"exit status {done.returncode}"
    return "; ".join([ended, *(re.sub(r"0x\w+|\d{4,}", "N", line) for line in said if line)])


def others(directory: Path) -> list[tuple[str, str, str]]:
    """A line each: its name, and what it comes to without the library and with it."""
    built = {name: str(compile_program(name, directory=directory)) for name in PROGRAMS}
    shared = ("-DLIBRARY", "-shared", "-fPIC")
    compile_program("deepbind", *shared, directory=directory).rename(directory / "other.so")
    rows = []
    for name, (options, *words) in OTHERS.items():
        command = [built.get(word, word.format(directory=directory)) for word in words]
        rows.append((name, tell(command, None), tell(command, options)))
    return rows


def main() -> int:
    """Print a line a case; 1 where one is worse than without."""
    table = Table("case", "without the library", "with it", "as good")
    with tempfile.TemporaryDirectory() as directory:
        program = build_limits(Path(directory))
        rows = [(case, run(program, case, None), run(program, case, "")) for case in CASES]
        good = [is_as_good(*row) for row in rows]
        beside = others(Path(directory))
    rows += beside
    good += [bare == under for _, bare, under in beside]
    for (case, bare, under), is_good in zip(rows, good, strict=True):
        table.add_row(case, bare.strip(), under.strip(), "yes" if is_good else "NO")
    table.caption = (
        "A number behind a name is a limit in MiB: RLIMIT_DATA of many_data, else RLIMIT_AS. "
        "As good is what is within 2 %, for the library's own 2 MiB and its tables."
    )
    Console().print(table)
    return not all(good)


sys.exit(main())
