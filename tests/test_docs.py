"""The README's examples and tables are true."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from patalloc.machine import options as all_options

README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", examples("sh"))
def test_shell_examples(example: str) -> None:
    env = dict(os.environ) | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-euc", example], capture_output=True, text=True, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "root:x:0:0" in done.stdout


@pytest.mark.parametrize("example", examples("python"))
def test_python_examples(example: str) -> None:
    expected = re.findall(r"# (.*)$", example, re.MULTILINE)
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True)
    assert done.stdout.splitlines() == expected, done.stderr


def test_options_table() -> None:
    rows = []
    for each in all_options():
        preset = each.preset and f"`{each.preset}`"
        rows.append(f"| `{each.name}` | {preset} | {each.allowed} | {each.meaning} |")
    assert (
        "\n".join(["| option | default | allowed | meaning |", "|---|---|---|---|", *rows])
        in README
    )


def test_every_c_file_is_in_the_map_of_the_tree() -> None:
    design = (ROOT / "docs" / "design.md").read_text()
    small = {"fill.c", "stats.c", "text.c", "underneath_libc.c"}
    for source in (ROOT / "csrc").glob("*.c"):
        assert source.name in small or f"csrc/{source.name}" in design
