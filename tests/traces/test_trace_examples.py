"""The examples of docs/traces.md, as they are."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from conftest import ROOT, Build

PAGE = (ROOT / "docs" / "traces.md").read_text()


def test_examples(build: Build, tmp_path: Path) -> None:
    """One after the other, as later ones read what the first has written."""
    (tmp_path / "program").write_text(f"#!/bin/sh\nexec {build('requests')} 2 500 exit\n")
    (tmp_path / "program").chmod(0o755)
    lines = re.findall(r"^    \$ patalloc (.*)$", PAGE, re.MULTILINE)
    of_processes = ["map 12345", "top 13395"]
    assert [line for line in lines if line in of_processes] == of_processes
    lines = [line for line in lines if line not in of_processes]
    assert len(lines) == 7
    for line in lines:
        words = [word for word in shlex.split(line) if word != "jemalloc"]
        done = subprocess.run(
            [sys.executable, "-m", "patalloc", *words], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, (line, done.stderr)
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert examples
    for example in examples:
        done = subprocess.run(
            [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_pictures_can_be_made(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, root / "tools" / "pictures", tmp_path], check=True, timeout=200)
    names = {each.name for each in tmp_path.iterdir()}
    assert names == {"terminal.svg", "map.png", "flame.png"}
    text = (root / "README.md").read_text()
    assert all(f"(docs/pictures/{name})" in text for name in names)
    assert "█" in (tmp_path / "terminal.svg").read_text()


def test_options_are_told() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "patalloc", "record", "--help"], capture_output=True, text=True
    ).stdout
    for option in re.findall(r"^  (?:-o, )?(--[a-z-]+)", shown, re.MULTILINE):
        assert option in PAGE.replace("`-o FILE`", "--output") or option in ("--help", "--output")
