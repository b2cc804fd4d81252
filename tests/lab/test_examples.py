"""The examples of docs/experiments.md, each as it is, but for how long they take."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

PAGE = (ROOT / "docs" / "experiments.md").read_text()
SHORT = {"compare": ["--rounds=1"], "sweep": ["--rounds=1"], "tune": ["--budget=2"]}


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_python(example: str, tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(example)
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_commands(tmp_path: Path) -> None:
    """One after the other, as later ones read what the first have written."""
    (tmp_path / "program").write_text("#!/bin/sh\nexec sort /etc/passwd\n")
    (tmp_path / "program").chmod(0o755)
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "sweep.toml").write_text(example)
    lines = re.findall(r"^    \$ patalloc (.*)$", PAGE, re.MULTILINE)
    lines.append("sweep --file sweep.toml")
    for line in lines:
        command, *arguments = shlex.split(line, comments=True)
        done = subprocess.run(
            [sys.executable, "-m", "patalloc", command, *SHORT.get(command, []), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=dict(os.environ),
        )
        assert done.returncode == 0, (line, done.stderr)
    assert {"page.html", "cpu.svg", "sweep.jsonl"} <= {path.name for path in tmp_path.iterdir()}
