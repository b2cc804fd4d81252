"""The core alone: under sanitizers, and with every system call failing."""

import json
import os
import random
import re
import subprocess
import sys

import pytest

from conftest import SOURCES, Build

ADDRESS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
THREAD = ("-fsanitize=thread",)


def run(program: object, *arguments: str, **variables: str) -> None:
    env = dict(os.environ) | variables
    result = subprocess.run(
        [str(program), *arguments], env=env, capture_output=True, text=True, timeout=600
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "options",
    [
        "reserve=16G",
        "reserve=16G:without=mremap_dontunmap,guard_regions",
        "reserve=16G:cache_size=8M:count=yes",
        "reserve=16G:fill=memset:guard_pages=3:release_interval=0",
        "reserve=16G:report=yes:stacks=8/3:slack_check=all:small_fill=both",
        "reserve=16G:report=yes:on_free=quarantine:quarantine_blocks=10",
    ],
)
@pytest.mark.parametrize("sanitizer", [ADDRESS, THREAD], ids=["address", "thread"])
def test_threads_under_sanitizers(build: Build, sanitizer: tuple[str, ...], options: str) -> None:
    program = build("workload", *sanitizer, core=True)
    run(program, "4", "300", "3", HEAP_OPTIONS=options)


@pytest.mark.parametrize("sanitizer", [ADDRESS, THREAD], ids=["address", "thread"])
def test_frees_at_the_same_time_under_sanitizers(build: Build, sanitizer: tuple[str, ...]) -> None:
    run(build("sparse", *sanitizer, core=True), "4", "2000", HEAP_OPTIONS="reserve=16G")


@pytest.mark.parametrize(
    "options",
    [
        "",
        "without=mremap_dontunmap",
        "without=guard_regions:count=yes",
        "cache_size=0:count=yes",
        "report=yes:stacks=8:slack_check=all:on_free=quarantine:quarantine_blocks=5",
        "on_free=quarantine:quarantine_size=1M:without=guard_regions",
    ],
)
def test_every_system_call_fails(build: Build, options: str) -> None:
    program = build("faults", "-DPATALLOC_FAULTS", *ADDRESS, core=True)
    run(program, HEAP_OPTIONS=f"reserve=1G:{options}")


@pytest.mark.parametrize(
    ("options", "call", "line"),
    [
        (
            "backend=uffd:fill=refpage",
            ["userfaultfd"],
            "backend=uffd: this process may not use userfaultfd(2); blocks are memset",
        ),
        *(
            (
                options,
                [],
                "guard_small: some small blocks have no guard: there is no address space left, or "
                "are no mappings (vm.max_map_count)",
            )
            for options in (
                "guard_small=all:delay=200:slack_check=large",
                "guard_small=all:delay=0:slack_check=large",
                "guard_small=all:delay=200:without=guard_regions",
                "guard_small=all:delay=200:without=guard_regions,uffd_move",
            )
        ),
    ],
)
def test_what_can_not_be_had_is_told_of(
    build: Build, options: str, call: list[str], line: str
) -> None:
    program = build("faults", "-DPATALLOC_FAULTS", *ADDRESS, core=True)
    env = dict(os.environ) | {"HEAP_OPTIONS": f"reserve=1G:{options}"}
    result = subprocess.run(
        [str(program), *call], env=env, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0
    assert set(result.stderr.splitlines()) <= {f"patalloc: {line}"}


@pytest.mark.parametrize("sanitizer", [(), ADDRESS, THREAD], ids=["none", "address", "thread"])
def test_stacks_that_are_kept_are_those_that_are_there(
    build: Build, sanitizer: tuple[str, ...]
) -> None:
    run(build("stacks", *sanitizer, core=True))


PROGRAMS = {
    "python": [sys.executable, "-c", "import ast, json; ast.parse(open(ast.__file__).read())"],
    "cc": ["cc", "-O2", "-S", "-o", "/dev/null", f"{SOURCES}/live.c"],
    "perl": ["perl", "-MData::Dumper", "-e", "print Dumper([1 .. 1000])"],
}


@pytest.mark.parametrize("command", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_walks_by_our_own_steps_are_the_compilers(build: Build, command: list[str]) -> None:
    walks = build("walks", "-shared", "-fPIC", "-fvisibility=hidden", core=True)
    env = dict(os.environ) | {"LD_PRELOAD": str(walks), "PYTHONMALLOC": "malloc"}
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    told = re.findall(r"(\d+) walks, (\d+) clear", result.stderr)
    assert sum(int(all_of) for all_of, _ in told) > 100
    assert all(int(clear) == int(all_of) for all_of, clear in told)


@pytest.mark.parametrize("sanitizer", [ADDRESS, THREAD], ids=["address", "thread"])
def test_threads_that_make_and_end_heaps(build: Build, sanitizer: tuple[str, ...]) -> None:
    run(build("heaps", *sanitizer, core=True))


@pytest.mark.parametrize("options", ["", ":report=yes:stacks=4:slack_check=all"])
def test_address_space_that_is_full(build: Build, options: str) -> None:
    """With a history, whose table was mapped behind a region as small as this once."""
    run(build("full", *ADDRESS, core=True), "region", HEAP_OPTIONS=f"reserve=64M{options}")


@pytest.mark.parametrize(
    "options", ["", ":delay=0", ":delay=0:without=uffd_move", ":without=guard_regions"]
)
def test_addresses_of_small_blocks_are_had_again(build: Build, options: str) -> None:
    program = build("full", *ADDRESS, core=True)
    run(program, "slots", HEAP_OPTIONS=f"reserve=64M:guard_small=all:slack_check=large{options}")


def test_a_table_of_stacks_that_is_full(build: Build) -> None:
    """A sanitizer would need the address space."""
    options = "report=yes:stacks=16:on_free=quarantine:on_error=continue"
    env = dict(os.environ) | {"HEAP_OPTIONS": options}
    result = subprocess.run(
        [build("full", core=True), "stacks"], env=env, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0
    assert result.stderr.count("patalloc: double-free") == 3
    assert "allocated by" in result.stderr


@pytest.mark.parametrize(
    ("options", "threads"),
    [
        ("", 4),
        (":without=process_madvise", 4),
        (":delay=0", 4),
        (":delay=0:without=uffd_move", 4),
        (":without=guard_regions", 2),  # of which each larger block takes two mappings
        (":without=guard_regions,uffd_move", 2),  # and each slot
        (":report=yes:stacks=4:slack_check=all", 4),
        (":count=yes", 4),
    ],
)
def test_small_blocks_with_a_guard_each(build: Build, options: str, threads: int) -> None:
    """Not under ThreadSanitizer, whose shadow lies where they would."""
    program = build("slots", *ADDRESS, core=True)
    run(program, str(threads), HEAP_OPTIONS=f"guard_small=all{options}")


@pytest.mark.parametrize("sanitizer", [ADDRESS, THREAD], ids=["address", "thread"])
def test_the_ledger_has_what_was_entered(build: Build, sanitizer: tuple[str, ...]) -> None:
    run(build("ledger", *sanitizer, core=True))


@pytest.mark.parametrize(
    ("race", "flags", "options"),
    [
        ("fit", (), ""),
        ("fit", (), ":without=guard_regions"),
        ("publish", THREAD, ""),
        ("handler", (), ""),
    ],
    ids=["fit", "fit without guard regions", "publish", "handler"],
)
def test_races_that_have_time_to_happen(
    build: Build, race: str, flags: tuple[str, ...], options: str
) -> None:
    program = build("races", "-DPATALLOC_FAULTS", *flags, core=True)
    run(program, race, HEAP_OPTIONS=f"threshold=32K:reserve=16G{options}")


def test_figures_in_the_kernels_texts(build: Build) -> None:
    run(build("figures", *ADDRESS, core=True))


def test_names_of_any_bytes_are_json(build: Build) -> None:
    """What is no UTF-8 comes back as os.fsdecode has it."""
    chance = random.Random(1)
    some = "é€😀\ud800".encode("utf-8", "surrogatepass") + b'\xc0\x80\xf4\x90\x80\x80\xff"\\\n\x7fa'
    names = [
        bytes(chance.choice(some) for _ in range(chance.randrange(20))) for _ in range(2000)
    ] + ["naïve/文件".encode(), bytes(range(256))]
    program = build("quoted", core=True)
    lines = "\n".join(name.hex() for name in names) + "\n"
    said = subprocess.run([program], input=lines.encode(), capture_output=True, check=True).stdout
    found = [json.loads(line.decode()) for line in said.splitlines()]
    assert [os.fsencode(name) for name in found] == names
