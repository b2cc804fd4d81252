"""The check that the core stands on its floors (tools/floors), and notices what does not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / "floors", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def csrc(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "csrc", tmp_path / "csrc"))


def include(csrc: Path, file: str, header: str) -> None:
    path = csrc / file
    path.write_text(f'#include "{header}"\n{path.read_text()}')


def test_it_stands() -> None:
    done = check("--csrc", ROOT / "csrc")
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("file", "header", "said"),
    [
        (
            "pages/run.c",
            "blocks/arena.h",
            "pages/run includes blocks/arena.h: blocks is above pages",
        ),
        ("base/text.h", "os/os.h", "base/text includes os/os.h: os is above base"),
        (
            "heap/heap.h",
            "preload/next.h",
            "heap/heap includes preload/next.h: preload is above heap",
        ),
        ("blocks/block.h", "blocks/arena.h", "a circle: blocks/"),
        ("os/files.c", "limits.h", "os/files includes limits.h: on no floor"),
    ],
)
def test_an_include_that_goes_up_is_noticed(csrc: Path, file: str, header: str, said: str) -> None:
    include(csrc, file, header)
    done = check("--csrc", csrc)
    assert done.returncode == 1
    assert said in done.stdout


def test_a_symbol_from_above_is_noticed(csrc: Path, tmp_path: Path) -> None:
    """As an extern without an include would bring it in."""
    objects = tmp_path / "objects"
    objects.mkdir()
    for name, code in {
        "os_files": "extern void arena_grown(void); void os_grown(void) { arena_grown(); }",
        "blocks_arena": "void *malloc(unsigned long); void arena_grown(void) { malloc(1); }",
        "preload_interpose": "void *malloc(unsigned long size) { return (void *)size; }",
    }.items():
        source = tmp_path / f"{name}.c"
        source.write_text(code)
        command = ["cc", "-fno-builtin", "-c", source, "-o", objects / f"csrc_{name}.c.o"]
        subprocess.run(command, check=True)
    done = check("--csrc", csrc, "--objects", objects)
    assert done.stdout == "os/files needs arena_grown: blocks is above os\n"
    assert done.returncode == 1


def test_nothing_to_look_at_is_no_success(csrc: Path, tmp_path: Path) -> None:
    assert check("--csrc", tmp_path / "none").returncode == 2
    assert check("--csrc", csrc, "--objects", tmp_path).returncode == 2
