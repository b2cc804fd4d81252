"""Where the system sets limits programs get what they get without the library."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, Build, assert_passes
from patalloc import Stats
from patalloc.preload import library

MIB = 1 << 20
# What is run; how much less of it is as good as without the library (the pages beside blocks, and
# the library's own 2 MiB, count in the limits too).
CASES = {
    "one_block 4096": 0,
    "one_block 256": 0,
    "many_blocks 4096": 0.01,
    "many_blocks 512": 0.02,
    "many_small_blocks 20000": 0,
    "many_data 1024": 0.01,
    "idle 4096": 0,
    "idle 256": 0,
    "small_ones 256": 0.02,
    "later 2048": 0,
    "later 512": 0,
    "file_size": 0,
    "lock_current": 0,
    "lock_future": 0,
    "mappings": 0,
    "descriptors": 0,
    "address_space": 0,
}


def build_limits(directory: Path) -> Path:
    program = directory / "limits"
    source = ROOT / "tests" / "limits" / "limits.c"
    flags = ["-std=gnu11", "-O1", "-fno-builtin", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
    command = ["cc", *flags, f"-I{ROOT}/tests/c", source, "-o", program, "-pthread"]
    subprocess.run(command, check=True)
    return program


@pytest.fixture(scope="module")
def limits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_limits(tmp_path_factory.mktemp("limits"))


def run(program: Path, case: str, options: str | None) -> str:
    env = dict(os.environ)
    if options is not None:
        env |= {"LD_PRELOAD": str(library()), "PATALLOC_OPTIONS": options}
    command = [program, *case.split()]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def numbers(line: str) -> list[int]:
    return [int(number) for number in re.findall(r"-?\d+", line)]


def is_as_good(case: str, bare: str, under: str) -> bool:
    same = re.sub(r"-?\d+", "N", under) == re.sub(r"-?\d+", "N", bare)
    pairs = zip(numbers(under), numbers(bare), strict=True) if same else ()
    return same and all(had >= wanted * (1 - CASES[case]) for had, wanted in pairs)


@pytest.mark.parametrize("case", CASES)
def test_a_limit_takes_no_more_than_without(limits: Path, case: str) -> None:
    bare, under = run(limits, case, None), run(limits, case, "")
    assert is_as_good(case, bare, under), (bare, under)


@pytest.mark.parametrize("limit", [None, 3 << 30])
@pytest.mark.parametrize("options", ["", "threshold=4K", "on_free=quarantine:quarantine_blocks=50"])
def test_mappings_of_the_programs_own_are_left_alone(
    build: Build, options: str, limit: int | None
) -> None:
    """Where blocks would come to lie, with all of a run reserved and with its pages alone."""

    def lower() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    env = dict(os.environ) | {"LD_PRELOAD": str(library()), "PATALLOC_OPTIONS": options}
    program = build("foreign")
    done = subprocess.run([program], env=env, preexec_fn=lower, capture_output=True, text=True)
    assert_passes(done)
    freed = subprocess.run([program, "free"], env=env, capture_output=True, text=True)
    assert freed.returncode < 0
    assert "patalloc" not in freed.stderr  # it is for the malloc underneath to complain, or to fall


@pytest.mark.parametrize(
    "options",
    [
        "",
        "on_free=quarantine:quarantine_blocks=50",
        "without=mremap_dontunmap",
        "without=guard_regions",
        "backend=none",
        "report=yes:stacks=8",
    ],
)
def test_blocks_keep_their_content_where_address_space_has_a_limit(
    build: Build, options: str
) -> None:
    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

    env = dict(os.environ) | {"LD_PRELOAD": str(library()), "PATALLOC_OPTIONS": options}
    command = [build("workload"), "3", "1000", "5"]
    assert_passes(
        subprocess.run(command, env=env, preexec_fn=lower, capture_output=True, text=True)
    )


def test_blocks_come_from_the_refpage_again_once_descriptors_are_free(
    limits: Path, tmp_path: Path
) -> None:
    stats = tmp_path / "stats"
    run(limits, "descriptors", f"stats={stats}")
    found = Stats.from_json(stats.read_text())
    assert found.blocks_memset == found.fallback_no_refpage == 10
    assert found.blocks_refpage == 200


def test_short_files_serve_where_long_ones_may_not_be(limits: Path, tmp_path: Path) -> None:
    stats = tmp_path / "stats"

    def limit() -> None:
        soft = 256 * 1024
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))

    env = dict(os.environ) | {"LD_PRELOAD": str(library()), "PATALLOC_OPTIONS": f"stats={stats}"}
    subprocess.run([limits, "idle", "4096"], env=env, preexec_fn=limit, check=True)
    found = Stats.from_json(stats.read_text())
    assert found.blocks_refpage == found.blocks > 0


def test_the_table_of_stacks_takes_a_part_of_a_limit(build: Build, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.RLIM_INFINITY))

    late = tmp_path / "late"
    env = dict(os.environ) | {
        "LD_PRELOAD": str(library()),
        "PATALLOC_OPTIONS": f"report={tmp_path}/report:stacks=8:trace={late}/%p",
    }
    done = subprocess.run(
        [build("late"), late], env=env, preexec_fn=limit, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(list(late.iterdir())) == 1


@pytest.mark.parametrize("option", ["stats", "trace"])
def test_files_of_our_own_end_no_program(limits: Path, tmp_path: Path, option: str) -> None:
    """Where they may not grow they stay short; SIGXFSZ is the program's."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    env = dict(os.environ) | {
        "LD_PRELOAD": str(library()),
        "PATALLOC_OPTIONS": f"{option}={tmp_path / 'file'}",
    }
    command = [limits, "idle", "4096"]
    subprocess.run(command, env=env, preexec_fn=limit, check=True, stdout=subprocess.PIPE)


def test_a_line_that_finds_no_room_ends_no_program(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    env = dict(os.environ) | {
        "LD_PRELOAD": str(library()),
        "PATALLOC_OPTIONS": "threshold=nonsense",
    }
    with (tmp_path / "stderr").open("w") as errors:
        subprocess.run(
            [sys.executable, "-c", ""], env=env, preexec_fn=limit, stderr=errors, check=True
        )


def test_tables_are_left_out_of_core_dumps() -> None:
    """The table of call stacks has 256 MiB of address space."""
    code = "b = bytearray(10**6); print(open('/proc/self/smaps').read())"
    env = dict(os.environ) | {
        "LD_PRELOAD": str(library()),
        "PATALLOC_OPTIONS": "report=yes:stacks=16",
    }
    command = [sys.executable, "-c", code]
    smaps = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    mappings = re.findall(r"^Size: +(\d+) kB\n(?:.*\n)*?VmFlags: (.*)$", smaps, re.MULTILINE)
    large = [flags.split() for size, flags in mappings if int(size) > 100_000 and "wr" in flags]
    assert large
    assert all("dd" in flags for flags in large)


def test_a_process_has_no_more_address_space_than_its_blocks_need() -> None:
    """Nothing is reserved but by runs: no mapping without access is as large as 1 GiB."""
    code = "b = bytearray(10**6); print(open('/proc/self/maps').read())"
    env = dict(os.environ) | {"LD_PRELOAD": str(library()), "PATALLOC_OPTIONS": ""}
    command = [sys.executable, "-c", code]
    maps = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    for start, end in re.findall(r"^(\w+)-(\w+) ---p", maps, re.MULTILINE):
        assert int(end, 16) - int(start, 16) < 1 << 30
