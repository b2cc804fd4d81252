"""Errors on purpose under this library and its peers: who notices.

  tests/detection own [--size BYTES]                   those of tests/watch
  tests/detection security|mset|juliet|hardened_malloc CHECKOUT

Prints a table in Markdown: in each row how many of its errors a tool named and, behind a plus, how
many it stopped without a word; of a single error, which of these. Needs the packages that
`make peers` installs; a tool that is not there is left out.
"""

import argparse
import platform
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import hardened_malloc
import juliet
import mset
import own
import security
from cases import Case
from tools import MISSED, NAMED, STOPPED, TOOLS, Outcome, Tool, examine, patalloc

SUITES = {
    "security": security.cases,
    "mset": mset.cases,
    "juliet": juliet.cases,
    "hardened_malloc": hardened_malloc.cases,
}
UNMET = "unmet"
TIMEOUT = 20.0
EXAMPLE = "use_after_free_write"


def verdict(case: Case, outcome: Outcome) -> str:
    """What a tool made of a variant."""
    if case.unmet is not None and outcome.status == case.unmet:
        return UNMET
    if outcome.verdict == NAMED:
        return NAMED
    if case.went_on:
        return MISSED if case.went_on in outcome.output else STOPPED
    if case.went_on_status is not None and outcome.status == case.went_on_status:
        return MISSED
    return outcome.verdict


def worst(verdicts: Sequence[str]) -> str:
    """Of an error's variants; one that can't be made in any is prevented."""
    return next(each for each in (MISSED, STOPPED, NAMED, UNMET) if each in verdicts)


def run(
    tool: Tool, cases: Sequence[Case], directory: Path, jobs: int
) -> tuple[dict[str, str], list[str], dict[str, Outcome]] | None:
    """The verdict on each error, the good programs that were accused, and what was said."""
    env = tool.environment()
    if env is None:
        print(f"{tool.name} is not installed", file=sys.stderr)
        return None
    place = directory / ("plain" if not tool.flags else tool.name)
    place.mkdir(exist_ok=True)

    def one(case: Case) -> Outcome:
        return examine(tool, case.build(place, tool.flags), env, TIMEOUT)

    with ThreadPoolExecutor(jobs) as executor:
        outcomes = list(executor.map(one, cases))
    pairs = sorted(
        ((c, o) for c, o in zip(cases, outcomes, strict=True) if not c.good),
        key=lambda pair: pair[0].name,
    )
    found = {
        name: worst([verdict(case, outcome) for case, outcome in variants])
        for name, variants in groupby(pairs, lambda pair: pair[0].name)
    }
    accused = [
        case.sources[0].name
        for case, outcome in zip(cases, outcomes, strict=True)
        if case.good and outcome.verdict != MISSED
    ]
    return found, accused, {case.name: outcome for case, outcome in pairs}


def cell(verdicts: Sequence[str]) -> str:
    """How many, by kind; of one error, what became of it."""
    if len(verdicts) == 1:
        return verdicts[0]
    named, stopped, unmet = (verdicts.count(kind) for kind in (NAMED, STOPPED, UNMET))
    text = str(named) + (f" + {stopped}" if stopped else "")
    return text + (f" ({unmet} can't happen)" if unmet else "")


def show(cases: Sequence[Case], found: dict[str, tuple[dict[str, str], list[str]]]) -> None:
    """The table."""
    groups = list(dict.fromkeys(case.group for case in cases))
    names = {g: {c.name for c in cases if c.group == g and not c.good} for g in groups}
    print("| errors | of |", " | ".join(found), "|")
    print("|---|---:" + "|---:" * len(found) + "|")
    for group in groups:
        cells = (cell([v for n, v in f.items() if n in names[group]]) for f, _ in found.values())
        if names[group]:
            print(f"| {group} | {len(names[group])} |", " | ".join(cells), "|")
    total = sum(len(each) for each in names.values())
    print(f"| all | {total} |", " | ".join(cell(list(f.values())) for f, _ in found.values()), "|")
    good = sum(case.good for case in cases)
    if good:
        counts = (str(len(accused)) for _, accused in found.values())
        print(f"| good programs accused | {good} |", " | ".join(counts), "|")


def main() -> None:
    """Run all, and print."""
    parser = argparse.ArgumentParser(prog="tests/detection", description=__doc__)
    parser.add_argument("suite", choices=["own", *SUITES])
    parser.add_argument("checkout", type=Path, nargs="?", help="a directory with the suite")
    parser.add_argument("--size", type=int, default=1 << 20, help="of own errors' blocks")
    parser.add_argument("--options", nargs="+", default=[], help="of patalloc, a column each")
    parser.add_argument("--tools", nargs="+", default=[tool.name for tool in TOOLS])
    parser.add_argument("--missed", action="store_true", help="name what patalloc misses")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    if given.suite == "own":
        cases = list(own.cases(given.size))
    elif given.checkout and given.checkout.is_dir():
        cases = list(SUITES[given.suite](given.checkout.resolve()))
    else:
        parser.error(f"{given.checkout}: no such directory")
    tools = [tool for tool in TOOLS if tool.name in given.tools]
    tools += [patalloc(options, options) for options in given.options]
    found: dict[str, tuple[dict[str, str], list[str]]] = {}
    examples: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="patalloc-detection-") as directory:
        for tool in tools:
            result = run(tool, cases, Path(directory), given.jobs)
            if result:
                found[tool.name] = result[:2]
                said = result[2].get(EXAMPLE)
                examples[tool.name] = said.message if said else ""
    show(cases, found)
    print(f"\n{platform.platform()}, {platform.libc_ver()[1]}\n")
    for name, (verdicts, accused) in found.items():
        if given.missed and "patalloc" in name:
            print(
                "missed:", *(case for case, each in verdicts.items() if each == MISSED), sep="\n  "
            )
        if accused:
            print(f"{name} accuses", ", ".join(accused))
        if given.suite == "own":
            print(f"{name}, {EXAMPLE.replace('_', ' ')}: {examples[name] or 'nothing'}")


main()
