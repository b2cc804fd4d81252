"""The page on crashes in wheels: its commands find what its table says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

PAGE = (ROOT / "docs" / "wheel.md").read_text()
BLOCKS = {
    each: re.findall(rf"```{each}\n(.*?)```", PAGE, re.DOTALL) for each in ("c", "python", "sh")
}
PLAIN, SANITIZED, EMULATED = (each.splitlines() for each in BLOCKS["sh"])  # build, and test
TABLE = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in re.findall(r"^\| (?:error \||`\w+`, \d+ bytes \|).*", PAGE, re.MULTILINE)
]
CASES = [re.sub(r"`(\w+)`, (\d+) bytes", r"\1-\2", row[0]) for row in TABLE[1:]]
SIZES = (24, 200_000)


def cases(size: int) -> set[str]:
    """Those with blocks of that size."""
    return {each for each in CASES if each.endswith(f"-{size}")}


def documented(column: str) -> set[str]:
    """The cases in which something is found."""
    number = TABLE[0].index(column)
    return {case for case, row in zip(CASES, TABLE[1:], strict=True) if row[number]}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One with the page's module and its tests."""
    (tmp_path / "rows.c").write_text(BLOCKS["c"][0])
    (tmp_path / "test_rows.py").write_text(BLOCKS["python"][1])
    return tmp_path


def run(command: str, directory: Path, arguments: str = "") -> str:
    """What a command of the page's prints, in a session with these arguments besides."""
    env = {each: os.environ[each] for each in os.environ if not each.startswith("PYTEST_")}
    env["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=directory,
        env=env | {"PYTEST_ADDOPTS": arguments},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    ).stdout


@pytest.mark.parametrize("options", [each for each in TABLE[0] if each.startswith("`")])
def test_patalloc(directory: Path, options: str) -> None:
    build, command = PLAIN
    run(build, directory)
    said = run(command.replace("--patalloc", options.strip("`")), directory)
    found = set(re.findall(r"^(?:FAILED|ERROR) test_rows\.py::test\[(\S+)\]", said, re.MULTILINE))
    assert found == documented(options), said


@pytest.mark.full
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("column", "build"),
    [("AddressSanitizer", SANITIZED[0]), ("AddressSanitizer, module as it is", PLAIN[0])],
    ids=["built again", "as it is"],
)
def test_sanitizer(directory: Path, column: str, build: str, size: int) -> None:
    """It ends a session at the first error: each case has one of its own."""
    run(build, directory)
    said = {
        case: run(SANITIZED[1], directory, f"test_rows.py::test[{case}]") for case in cases(size)
    }
    found = {case for case in said if "ERROR: AddressSanitizer" in said[case]}
    assert found == documented(column) & cases(size), said


def test_what_a_sanitizer_says_is_lost_where_pytest_captures(directory: Path) -> None:
    build, command = SANITIZED
    run(build, directory)
    case = "test_rows.py::test[write_past-24]"
    assert "ERROR: AddressSanitizer" in run(command, directory, case)
    assert "AddressSanitizer" not in run(command.removesuffix(" -s"), directory, case)


@pytest.mark.full
@pytest.mark.parametrize("size", SIZES)
def test_valgrind(directory: Path, size: int) -> None:
    """It tells of each place only once: each size has a session of its own."""
    build, command = EMULATED
    run(build, directory)
    said = run(command, directory, f"-k {size}")
    found = {f"{name}-{size}" for name in re.findall(r" (\w+) \(rows\.c:\d+\)", said)}
    assert found == documented("valgrind") & cases(size), said
