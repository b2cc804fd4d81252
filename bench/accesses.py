"""How often programs read memory before they write it.

A kernel that stores a pattern only, and fills a page on any fault, pays for each page that is read;
one that maps a shared page pays once that is written. Each program runs under backend=uffd, whose
thread is told of every first access to a page of a large block, and counts.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from measure import arguments, finish, patterned, table

import programs
import traces
from patalloc import Stats

OPTIONS = "backend=uffd:fill=refpage:count=yes:slack_check=no"


def commands(directory: Path, *, short: bool) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Those of the other benchmarks: what they are called, and what their environment has."""
    for name, command in programs.programs(directory, short=short).items():
        yield name.replace("gcc -O2", "gcc -O2, the core"), command, {}
    for name, (command, environment) in traces.programs(directory, short=short).items():
        name = {"gcc -O2": "gcc -O2, one long file", "sqlite3": "sqlite3 in memory"}.get(name, name)
        yield name, command, environment


def counted(command: list[str], environment: dict[str, str]) -> list[Stats]:
    """What the heaps of its processes have counted."""
    with tempfile.TemporaryDirectory(prefix="patalloc-bench-") as name:
        preloaded = patterned(f"{OPTIONS}:stats={name}/%p")
        environment = {**os.environ, **environment, **preloaded}
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        return [Stats.from_json(path.read_text()) for path in Path(name).iterdir()]


def main() -> None:
    """Run all, and print one table."""
    options = arguments(__doc__)
    rows = []
    with tempfile.TemporaryDirectory(prefix="patalloc-bench-") as name:
        for program, command, environment in commands(Path(name), short=options.short):
            found = counted(command, environment)
            read = sum(stats.pages_read_first for stats in found)
            later = sum(stats.pages_written_later for stats in found)
            pages = read + sum(stats.pages_written_first for stats in found)
            blocks = sum(stats.blocks_refpage for stats in found)
            share = f"{read / pages:.2%}" if pages else ""
            only = f"{(read - later) / pages:.2%}" if pages else ""
            rows.append((program, f"{blocks:,}", f"{pages:,}", f"{read:,}", share, only))
    columns = ("", "blocks", "pages touched", "read first", "share", "never written")
    table("pages of large blocks, by their first access", columns, rows)
    finish(None, {})


if __name__ == "__main__":
    main()
