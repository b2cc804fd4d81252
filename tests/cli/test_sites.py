"""Call stacks that are chosen: listed from a trace, written to a file, guarded by the core."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from conftest import Build, preloaded
from patalloc.heap import Heap
from patalloc.hunt.selection import Part, pack

REFUSED = (
    "guard_sites: the file can't be read, or is none that patalloc has made; no call stacks are "
    "chosen"
)


def patalloc(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "patalloc", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def traced(build: Build, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A program, and its trace."""
    program, trace = build("sites"), tmp_path_factory.mktemp("sites") / "trace"
    assert preloaded([program], f"trace={trace}").returncode == 0
    return program, trace


def chosen(trace: Path, file: Path, *more: str) -> list[str]:
    done = patalloc("sites", trace, "--output", file, *more)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_sites_are_listed_by_bytes(traced: tuple[Path, Path], tmp_path: Path) -> None:
    """Those of calloc, too."""
    lines = chosen(traced[1], tmp_path / "file")
    heads = [line for line in lines if not line.startswith("    ")]
    assert sum("100 allocations, 80,800 bytes, the largest 1,600" in h for h in heads) == 3
    for function in ("named", "other", "zeroed"):
        assert sum(f"#0 {function} at " in line for line in lines) == 1


@pytest.mark.parametrize("name", ["named", "other", "zeroed"])
@pytest.mark.parametrize("guarded", ["named", "other", "zeroed"])
def test_requests_from_chosen_sites_are_guarded(
    traced: tuple[Path, Path], tmp_path: Path, name: str, guarded: str
) -> None:
    program, trace = traced
    file = tmp_path / "file"
    assert len(chosen(trace, file, "--match", rf"#0 {guarded}\b")) > 1
    result = preloaded([program, name], f"guard_sites={file}")
    assert result.returncode == (-11 if name == guarded else 0)
    result = preloaded([program, name], f"guard_sites={file}:stacks=2")
    assert result.returncode == (-11 if name == guarded else 0)


def test_stacks_that_were_cut_are_cut_again(
    traced: tuple[Path, Path], tmp_path: Path, build: Build
) -> None:
    """And traces of several processes are listed together."""
    program, file = build("sites"), tmp_path / "file"
    for number in (1, 2):
        preloaded([program], f"trace={tmp_path}/trace.%p:stacks={number}")
    traces = sorted(tmp_path.glob("trace.*"))
    done = patalloc("sites", *traces, "--match", "#0 named", "--output", file)
    assert done.returncode == 0
    assert sum(" 100 allocations" in line for line in done.stdout.splitlines()) == 2
    assert preloaded([program, "named"], f"guard_sites={file}").returncode == -11


def guarded(program: Path, options: str) -> int:
    done = preloaded([program], f"{options}:stats=fd:1")
    return int(done.stdout.partition('"small_guarded":')[2].partition(",")[0])


@pytest.mark.parametrize(
    ("numbers", "count"), [([(1, 2**64 - 1)], 100), ([(3, 5)], 3), ([(1, 1), (99, 120)], 3)]
)
def test_numbers_are_those_of_the_selection(
    traced: tuple[Path, Path], tmp_path: Path, numbers: Sequence[tuple[int, int]], count: int
) -> None:
    program, trace = traced
    file = tmp_path / "file"
    (head,) = (line for line in chosen(trace, file, "--match", "#0 named") if line[0] != " ")
    site = int(head.split()[0], 16)
    file.write_bytes(pack([Part(site, *each) for each in numbers]))
    assert guarded(program, f"guard_sites={file}") == count
    file.write_bytes(pack([Part(0)]))  # of any stack
    assert guarded(program, f"guard_sites={file}") >= 300


def test_a_file_that_is_none_is_told(traced: tuple[Path, Path], tmp_path: Path) -> None:
    for file in (tmp_path / "none", traced[1], tmp_path):
        result = preloaded([traced[0]], f"guard_sites={file}")
        assert (result.returncode, result.stderr) == (0, f"patalloc: {REFUSED}\n")


def test_each_heap_has_its_own(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(pack([Part(0)]))
    with Heap(guard_sites=str(file)) as heap, Heap() as other:
        blocks = [heap.malloc(20), other.malloc(20)]
        assert [heap.stats().small_guarded, other.stats().small_guarded] == [1, 0]
        for block in blocks:
            block.free()


def test_what_lists_nothing_says_so(traced: tuple[Path, Path], tmp_path: Path) -> None:
    nothing = patalloc("sites", traced[1], "--match", "no such function")
    assert nothing.returncode == 1
    assert "no such call stack among" in nothing.stderr
    for wrong in ([traced[0]], [tmp_path / "none"], [traced[1], "--match", "("]):
        assert patalloc("sites", *wrong).returncode == 2
