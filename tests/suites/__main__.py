"""A public test suite under glibc alone, and under the library: see README.md beside this."""

import argparse
import platform
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from dataclasses import replace
from fnmatch import fnmatch

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from patalloc import Config, OptionError
from patalloc.preload import library
from suites import glibc, hardened_malloc, jemalloc, libc_test, mimalloc
from suites.runner import Row, Tool, run_suite

SUITES = {
    "glibc": glibc.suite,
    "hardened_malloc": hardened_malloc.suite,
    "jemalloc": jemalloc.suite,
    "libc-test": libc_test.suite,
    "mimalloc": mimalloc.suite,
}
# As it is; nearly all in blocks; every check; few frees until an address is used again.
OPTIONS = [
    "",
    "threshold=4K",
    "report=yes:slack_check=all:small_fill=both",
    "threshold=4K:on_free=quarantine:quarantine_blocks=50",
]
WIDTH = 120  # of a table that goes to a file
LINES = 15  # of the output of what fails


def preloaded(options: str) -> Tool:
    """The library with these options."""
    Config.parse(options)
    env = {"LD_PRELOAD": str(library()), "PATALLOC_OPTIONS": options}
    return Tool(options or "patalloc", env)


def table(rows: list[Row], tools: list[Tool]) -> Table:
    """A line a program, a column a tool by its number, and how many pass."""
    found = Table(show_footer=True)
    found.add_column("program", f"pass, of {len(rows)}", no_wrap=True)
    for number, tool in enumerate(tools):
        passed = sum(not row.results[number].problems for row in rows)
        found.add_column(str(number) if number else tool.name, str(passed), overflow="fold")
    for row in rows:
        worse = row.worse()
        results = [escape(str(result)) for result in row.results]
        found.add_row(
            row.program.name,
            *(f"[bold red]{text}[/]" if n in worse else text for n, text in enumerate(results)),
        )
    return found


def main() -> int:
    """Print what a suite's programs do; 1 where one has a problem that it has not without us."""
    parser = argparse.ArgumentParser(prog="tests/suites", description=__doc__)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("checkout", type=Path, help="a directory with the suite's sources")
    parser.add_argument("--options", nargs="+", default=OPTIONS, metavar="PATALLOC_OPTIONS")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="programs to run: tst-*")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS")
    given = parser.parse_args()
    if not given.checkout.is_dir():
        parser.error(f"{given.checkout}: no such directory")
    try:
        tools = [Tool("glibc"), *map(preloaded, given.options)]
    except OptionError as error:
        parser.error(str(error))
    suite = SUITES[given.suite](given.checkout.resolve())
    suite = replace(suite, programs=[p for p in suite.programs if fnmatch(p.name, given.only)])
    if not suite.programs:
        parser.error(f"{given.checkout}: no programs of {given.suite} called {given.only}")
    with (
        tempfile.TemporaryDirectory(prefix="patalloc-suites-") as directory,
        Console(stderr=True).status("helpers") as status,
    ):
        rows = run_suite(suite, tools, Path(directory), given.timeout, status.update)
    width = None if sys.stdout.isatty() else WIDTH
    Console(width=width).print(table([row for row in rows if row.results], tools))
    for number, tool in enumerate(tools[1:], 1):
        print(f"{number}: PATALLOC_OPTIONS={tool.env['PATALLOC_OPTIONS']}")
    for why in dict.fromkeys(row.why for row in rows if row.why):
        names = ", ".join(row.program.name for row in rows if row.why == why)
        print(f"not run: {why}: {names}")
    for row in rows:
        for number in row.worse():
            print(f"\n{row.program.name}, {tools[number].name}: {row.results[number]}")
            print("\n".join(row.results[number].output.strip().splitlines()[-LINES:]))
    worse = sum(bool(row.worse()) for row in rows)
    print(f"\n{platform.platform()}, {worse} worse than under glibc alone")
    return worse > 0


if __name__ == "__main__":
    sys.exit(main())
