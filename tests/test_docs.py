"""The README's examples and tables are true."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs
import pytest

from conftest import ROOT
from patalloc import Heap, OptionError
from patalloc.machine import options as all_options
from patalloc.watch import Event, HeapBlock, Module, Moment, Register

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


def test_every_c_file_is_in_the_description_of_its_floor() -> None:
    design = (ROOT / "docs" / "design.md").read_text()
    floors = dict(re.findall(r"^\*\*(\w+)\*\* is (.+?)\n\n", design, re.MULTILINE | re.DOTALL))
    sources = list((ROOT / "csrc").glob("*/*.c"))
    assert floors.keys() == {source.parent.name for source in sources}
    for source in sources:
        assert f"`{source.stem}`" in floors[source.parent.name]


def test_every_key_of_an_event_is_documented() -> None:
    table = (ROOT / "docs" / "reports.md").read_text().partition("## JSON")[2]
    documented = set(re.findall(r"`(\w+)`", table.partition("\n## ")[0]))
    classes: list[type[attrs.AttrsInstance]] = [Event, HeapBlock, Module, Moment, Register]
    keys = {field.alias for each in classes for field in attrs.fields(each)}
    assert keys <= documented


def test_the_options_that_change_are_documented() -> None:
    with Heap() as heap, pytest.raises(OptionError) as refused:
        heap.configure(guard_pages=2)
    changing = str(refused.value).partition("can be: ")[2].split(", ")
    listed = ", ".join(f"`{name}`" for name in changing[:-1]) + f" and `{changing[-1]}`"
    reports = " ".join((ROOT / "docs" / "reports.md").read_text().split())
    assert f"{listed} can be changed while the program runs" in reports


def test_every_key_of_a_hunt_is_documented() -> None:
    table = (ROOT / "docs" / "hunt.md").read_text().partition("## JSON")[2]
    documented = set(re.findall(r"`(\w+)`", table.partition("\n## ")[0]))
    code = "int main(void) { return *(char *)__builtin_malloc(10); }"
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "program"
        command = ["cc", "-O0", "-x", "c", "-", "-o", program]
        subprocess.run(command, input=code, text=True, check=True)
        hunt = [sys.executable, "-m", "patalloc", "hunt", "--json", "--", program]
        found = json.loads(subprocess.run(hunt, capture_output=True, text=True).stdout)
    keys = set(found) | set(found["findings"][0]) | set(found["findings"][0]["culprits"][0])
    assert keys <= documented


def test_the_job_for_continuous_integration_works(tmp_path: Path) -> None:
    """Its commands, of a project with an error and of one without."""
    recipe = (ROOT / "docs" / "ci.md").read_text().partition("```yaml")[2].partition("```")[0]
    commands = [line for line in re.findall(r"- run: (.*)", recipe) if "pip install" not in line]
    env = dict(os.environ, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    body = "char *volatile p = malloc(24);\n  return p[SIZE] == 77;"
    source = f"#include <stdlib.h>\nint main(void) {{\n  {body}\n}}\n"
    for size, status in (("24", 9), ("23", 0)):
        (tmp_path / "tests.c").write_text(source.replace("SIZE", size))
        done = [
            subprocess.run(
                ["sh", "-c", each], cwd=tmp_path, env=env, capture_output=True, text=True
            )
            for each in commands
        ]
        assert [each.returncode for each in done] == [0, status, status, status]
        assert (
            "::error file=tests.c,line=4,title=patalloc heap-buffer-overflow" in done[1].stderr
        ) == bool(status)
        assert ("<failure" in (tmp_path / "junit.xml").read_text()) == bool(status)
        results = json.loads((tmp_path / "tests.sarif").read_text())["runs"][0]["results"]
        assert len(results) == bool(status)
