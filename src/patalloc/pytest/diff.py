"""The session with two patterns, and what was different."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import Any

import attrs
import pytest

from patalloc.heap import Config
from patalloc.hunt.runs import can_fix_addresses
from patalloc.pytest.files import Journal, plural, remark
from patalloc.pytest.session import Circumstances, Session, arguments_of, say

_OTHERS = ("0x00", "0xff")  # the first that is not the pattern already
_TOLD = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED}
_VARYING = re.compile(
    r"\b0x[0-9a-f]{5,}\b|\b\d+(\.\d+)? ?(s|ms|us|µs|ns|seconds)\b|\b(tmp|patalloc-)[a-z0-9_]{8}\b"
)
_HUNTED_MOST = 3


def run(config: pytest.Config, heap: Config, directory: Path) -> int:
    """Run the session with each pattern, and show what the first one was, and what differs.

    Where something does it runs once more with the first pattern: what differs then, too, varies by
    itself, and fails nothing.
    """
    other = next(each for each in _OTHERS if each != heap.pattern)
    directories = [directory / name for name in ("first", "other", "again")]
    journals: list[Journal] = []
    for each, pattern in zip(directories, (heap.pattern, other, heap.pattern), strict=True):
        if len(journals) < 2 or _differing(*journals):
            say(f"a session with pattern {pattern}")
            circumstances = _same(config, directory, each.with_suffix(".output"))
            each.mkdir()
            changed = attrs.evolve(heap, pattern=pattern)
            status = Session(config, changed, each, circumstances).run()
            if status not in _TOLD:
                sys.stdout.write(circumstances.output_text())
                return status
            journals.append(Journal(each))
    differing = _differing(journals[0], journals[1])
    by_itself = _differing(journals[0], journals[-1]) if differing else {}
    found = {name: lines for name, lines in differing.items() if name not in by_itself}
    for number, (name, lines) in enumerate(found.items()):
        hunted: list[str] = []
        if config.getoption("patalloc_hunt") and number < _HUNTED_MOST:
            say(f"a hunt in {name}")
            hunted = _hunted(config, name, directory)
        shown = _shown(lines, (heap.pattern, other), hunted)
        journals[0].write(name, differs=shown)
    remark(
        directories[0],
        f"{plural(len(found), 'test')} did something else with {other} than with {heap.pattern} "
        "in fresh memory",
    )
    for name in differing.keys() & by_itself.keys():
        remark(directories[0], f"{name} is not the same twice with the same pattern")
    return Session(config, heap, directories[0], _same(config, directory)).run()


def _same(config: pytest.Config, directory: Path, output: Path | None = None) -> Circumstances:
    """What has two sessions differ by the pattern alone: order, hashes, addresses, names, data."""
    arguments = ["-p", "no:randomly", "-p", "no:random_order"]
    arguments += [f"--basetemp={directory / 'temporary'}"]
    if config.pluginmanager.hasplugin("xdist"):
        arguments.append("-n0")
    if config.pluginmanager.hasplugin("hypothesispytest"):
        arguments.append("--hypothesis-seed=0")
    examples = directory / "examples"
    shutil.rmtree(examples, ignore_errors=True)
    return Circumstances(
        arguments=tuple(arguments),
        variables={"PYTHONHASHSEED": "0", "HYPOTHESIS_STORAGE_DIRECTORY": str(examples)},
        wrapper=("setarch", "-R") if can_fix_addresses() else (),
        output=output,
    )


def _lines(journal: Journal, test: str) -> Iterator[str]:
    """What the test did, without what varies by itself."""
    reports: list[dict[str, Any]] = journal.reports[test]
    for report in reports:
        yield f"{report['when']}: {report['outcome']}"
        shown = report["longrepr"]
        crash = shown.get("reprcrash") if isinstance(shown, dict) else None
        yield from str(crash["message"] if crash else shown or "").splitlines()
    if test in journal.died:
        yield from journal.died[test]["text"].splitlines()
    for title, text in reports[-1]["sections"] if reports else ():
        yield from (f"{title}:", *text.splitlines())
    yield from (f"{each['category']}: {each['message']}" for each in journal.warnings.get(test, ()))


def _differing(first: Journal, other: Journal) -> dict[str, tuple[list[str], list[str]]]:
    """Of each test that did not do the same, what it did."""
    found = {}
    for test in first.reports.keys() & other.reports.keys():
        both = [
            [_VARYING.sub("...", line) for line in _lines(journal, test)]
            for journal in (first, other)
        ]
        if both[0] != both[1]:
            found[test] = both[0], both[1]
    return {test: found[test] for test in first.reports if test in found}


def _shown(
    lines: tuple[list[str], list[str]], patterns: tuple[str, str], hunted: list[str]
) -> dict[str, str]:
    """What is shown of a test that did not do the same."""
    first, other = patterns
    named = f"pattern {first}", f"pattern {other}"
    compared = list(unified_diff(*lines, *named, lineterm=""))
    changes = [each for each in compared[3:] if each[0] in "+-"]
    change = next((each for each in changes if each[0] == "+"), changes[0])
    return {
        "text": f"reads memory that was never written: {first} and {other} there make a difference",
        "message": f"with pattern {other if change[0] == '+' else first}: {change[1:]}",
        "section": "\n".join([*compared, *hunted]),
    }


def _hunted(config: pytest.Config, test: str, directory: Path) -> list[str]:
    """What patalloc hunt says of one test."""
    given = [each for each in arguments_of(config) if each not in config.option.file_or_dir]
    path, _, rest = test.partition("::")
    command = [sys.executable, "-P", "-m", "patalloc", "hunt", "--max-culprits", "1", "--"]
    command += [sys.executable, "-m", "pytest", "-q", "-rP", "-p", "no:randomly"]
    command += ["-o", f"cache_dir={directory / 'cache'}"]
    command += [each for each in given if not each.startswith("--patalloc")]
    command += [f"{config.rootpath / path}::{rest}"]
    done = subprocess.run(
        command,
        cwd=config.invocation_params.dir,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.stdout.decode(errors="replace").splitlines()
