"""The comparison of tools is one that can be believed."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def detection(*arguments: str | Path) -> str:
    command = [sys.executable, HERE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def row(table: str, name: str) -> list[str]:
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("| ").split("|")]


@pytest.mark.parametrize("size", ["24", "1000"])
def test_small_errors_are_named(size: str) -> None:
    table = detection("own", "--size", size, "--tools", "patalloc", "patalloc, side=left")
    names = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    either = [name for name in names[1:-1] if "named" in row(table, name)[2:]]
    assert len(either) >= 17 + (size == "1000")


def test_a_suite_is_judged_by_what_it_says(tmp_path: Path) -> None:
    directory = tmp_path / "bench" / "security"
    directory.mkdir(parents=True)
    says = '#include <stdio.h>\n#include <stdlib.h>\nint main(void) {{ {} puts("NOT_CAUGHT"); }}\n'
    for name, body in {
        "overflow": "char *p = malloc(8); ((volatile char *)p)[8] = 1;",
        "nothing": "",
        "double_free": "abort();",
    }.items():
        (directory / f"{name}.c").write_text(says.format(body))
    table = detection("security", tmp_path, "--tools", "patalloc", "--missed")
    assert row(table, "overflow, underflow") == ["overflow, underflow", "3", "3"]
    assert row(table, "double and invalid free")[2] == "0 + 3"
    assert row(table, "other")[2] == "0"
    assert "nothing, small" in table
