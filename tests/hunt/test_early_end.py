"""Runs that are ended behind the line that tells: as few as otherwise, and the same is found."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Build


def hunt(program: Path, where: Path, *options: str) -> tuple[dict[str, object], int]:
    """What was found, and how many runs came to their end."""
    ended = where / "ended"
    ended.unlink(missing_ok=True)
    command = [sys.executable, "-m", "patalloc", "hunt", "--json", "--jobs", "1", *options, "--"]
    done = subprocess.run(
        [*command, program, ended, "600", "120"],
        cwd=where,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 1, done.stderr
    return json.loads(done.stdout), ended.stat().st_size


@pytest.mark.parametrize("options", [(), ("--exact",)])
def test_what_is_found_is_the_same(build: Build, tmp_path: Path, options: tuple[str, ...]) -> None:
    program = build("lengthy")
    whole, all_ended = hunt(program, tmp_path, *options)
    early, some_ended = hunt(program, tmp_path, "--end-early", *options)
    assert early["findings"] == whole["findings"]
    assert early["runs"] == whole["runs"]
    assert some_ended < all_ended


def test_a_filter_has_whole_runs(build: Build, tmp_path: Path) -> None:
    _, all_ended = hunt(build("lengthy"), tmp_path, "--filter", "cat")
    _, ended = hunt(build("lengthy"), tmp_path, "--end-early", "--filter", "cat")
    assert ended == all_ended
