"""Reports: each program in tests/reports makes one error, which must be told right."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import FLAGS, preloaded
from patalloc import events
from patalloc.preload import environment
from patalloc.config import Config
from patalloc.symbols import locate

PROGRAMS = Path(__file__).parent / "reports"
NAMES = sorted(path.stem for path in PROGRAMS.glob("*.c"))
SCRIPTS = sorted(path.stem for path in PROGRAMS.glob("*.py"))
EVERYTHING = "stacks=16:slack_check=all:on_free=quarantine:small_fill=both"
WAYS = [
    "",
    "without=guard_regions",
    "without=mremap_dontunmap,guard_regions,pagemap_scan",
    "without=memfd",
    "fill=memset",
    "guard_pages=4:pattern=0xdeadbeef",
]
GUARDED_BY_ABORT = {"double_free", "interior_free", "wild_free", "realloc_of_freed"}


def source(name: str) -> Path:
    return next(PROGRAMS.glob(f"{name}.[cp]*"))


def marked(name: str, mark: str) -> int | None:
    """The number of the line that is marked so."""
    lines = source(name).read_text().splitlines()
    return next((n for n, line in enumerate(lines, 1) if re.search(rf"\b{mark}\b", line)), None)


def expected(name: str) -> list[str]:
    """Kind, access, place, distance, as the first line has them."""
    return source(name).read_text().splitlines()[0].strip("/*# ").split()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("reports")
    programs = {name: directory / name for name in NAMES}
    flags = [flag for flag in FLAGS if flag not in ("-Wextra", "-Werror")]
    for name, program in programs.items():
        command = ["cc", *flags, "-Wno-unused-result", source(name), "-o", program, "-lpthread"]
        subprocess.run(command, check=True)
    return programs


def run_and_read(command: list[str | Path], options: str, report: Path) -> tuple[int, events.Event]:
    result = preloaded(command, f"{options}:report={report}")
    (event,) = events.read(report.read_text())
    assert f"patalloc: {event.summary}\n" in result.stderr
    return result.returncode, event


def check(name: str, event: events.Event) -> None:
    distance = None if event.distance is None else str(event.distance)
    told = [event.kind, event.access, event.place, distance]
    assert ["-" if each is None else each for each in told] == expected(name)


def lines(event: events.Event, stack: tuple[int, ...], name: str) -> list[int | None]:
    """The lines of the program's source on a stack."""
    found = [location for address in stack for location in locate(event, address)]
    return [each.line for each in found if each.file and Path(each.file).name == source(name).name]


def check_lines(name: str, event: events.Event) -> None:
    assert lines(event, event.stack, name)[0] == marked(name, "ACCESS")
    for mark, moment in (
        ("ALLOCATED", event.block and event.block.allocated),
        ("FREED", event.block and event.block.freed),
    ):
        line = marked(name, mark)
        assert (line is None) == (moment is None), mark
        if moment:
            assert lines(event, moment.stack, name)[0] == line, mark


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_each_error_is_told(
    compiled: dict[str, Path], tmp_path: Path, name: str, options: str
) -> None:
    status, event = run_and_read(
        [compiled[name]], ":".join(filter(None, [EVERYTHING, options])), tmp_path / "report"
    )
    check(name, event)
    check_lines(name, event)
    if event.call is None:
        alone = dict(os.environ) | {"FAULT_ALONE": "1"}
        assert status == subprocess.run([compiled[name]], env=alone).returncode
        assert event.signal == 11
    else:
        assert status == -6


@pytest.mark.parametrize("name", SCRIPTS)
def test_python_programs_show_their_own_stack_too(tmp_path: Path, name: str) -> None:
    report = tmp_path / "report"
    result = preloaded([sys.executable, source(name)], f"{EVERYTHING}:report={report}")
    (event,) = events.read(report.read_text())
    check(name, event)
    assert result.returncode == -11
    assert event.block and event.block.allocated and event.block.allocated.stack
    assert f'{source(name)}", line {marked(name, "ACCESS")} in' in result.stderr
    assert event.thread_name
