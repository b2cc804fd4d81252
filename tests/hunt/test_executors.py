"""Runs made elsewhere: by other processes, and by dask.distributed's workers."""

import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from conftest import FLAGS, ROOT
from patalloc.hunt import Hunt, Program, Runner

SOURCE = ROOT / "tests" / "hunt" / "missing_last.c"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    made = tmp_path / "program"
    subprocess.run(["cc", *FLAGS, SOURCE, "-o", made], check=True)
    return made


def test_processes_make_the_runs(program: Path, tmp_path: Path) -> None:
    runners = [Runner(Program(command=(str(program),)), tmp_path / "nowhere")] * 2
    with ProcessPoolExecutor(2) as executor:
        verdict = Hunt(runners, executor=executor).run()
    (finding,) = verdict.findings
    assert [culprit.bytes for culprit in finding.culprits] == [((36, 40),)]
    assert 8 <= verdict.runs <= 25


def test_the_example_runs_on_a_cluster(program: Path, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "hunt.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "./digest" in example
    script = tmp_path / "example.py"
    script.write_text(example.replace("./digest", str(program)))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert done.stdout == "1 40 ((36, 40),)\n", done.stderr
