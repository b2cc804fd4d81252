"""C++'s operators: blocks are given back as they were requested, and who has others keeps them."""

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import SOURCES, assert_passes, preloaded
from patalloc.watch import events

CHECKS = ["guard_small=all", "slack_check=all"]
MISMATCHES = {
    "new[], delete": ("operator delete", "operator new[]", {}),
    "new, delete[]": ("operator delete[]", "operator new", {}),
    "new, free": ("free", "operator new", {}),
    "new[], realloc": ("realloc", "operator new[]", {}),
    "malloc, delete": ("operator delete", "malloc", {}),
    "another size": ("operator delete", "operator new", {"told_size": 1}),
    "another alignment": ("operator delete", "operator new", {"alignment": 64, "told": 32}),
    "no alignment": ("operator delete", "operator new", {"alignment": 64}),
}


def compiled(directory: Path, *flags: str) -> Path:
    program = directory / "program"
    command = ["g++", "-std=c++17", "-g", "-O1", "-fno-builtin", "-w", SOURCES / "operators.cc"]
    subprocess.run([*command, *flags, "-o", program], check=True)
    return program


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("operators"))


@pytest.mark.parametrize("checks", CHECKS)
@pytest.mark.parametrize("size", [24, 10_000, 1_000_000])
@pytest.mark.parametrize("name", MISMATCHES)
def test_each_mismatch_is_told(
    tmp_path: Path, program: Path, name: str, size: int, checks: str
) -> None:
    report = tmp_path / "report"
    result = preloaded([program, name, str(size)], f"report={report}:stacks=8:{checks}")
    (event,) = events.read(report.read_text())
    call, origin, more = MISMATCHES[name]
    assert (event.kind, event.call, event.origin) == ("alloc-dealloc-mismatch", call, origin)
    assert event.told_size == (size + more["told_size"] if "told_size" in more else None)
    assert (event.alignment, event.told_alignment) == (more.get("alignment"), more.get("told"))
    assert event.block
    assert (event.block.size, event.block.state, event.distance) == (size, "live", 0)
    assert event.block.allocated
    assert event.block.allocated.stack
    assert result.returncode == -6


@pytest.mark.parametrize("name", MISMATCHES)
def test_mismatches_are_left_alone_by_default_and_in_samples(program: Path, name: str) -> None:
    for options in ["", "report=yes:slack_check=large:guard_small=2"]:
        result = preloaded([program, name, "24"], options)
        assert (result.returncode, result.stdout, result.stderr) == (0, "went on\n", "")


OPTIONS = ["", "report=yes:slack_check=large:guard_small=2", "count=yes", *CHECKS]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("flags", [(), ("-DOWN",), ("-DOWN", "-rdynamic"), ("-static-libstdc++",)])
def test_good_programs_run_as_they_do(tmp_path: Path, flags: tuple[str, ...], options: str) -> None:
    """Those with operators of their own, too: all calls come to them that would without us."""
    assert_passes(preloaded([compiled(tmp_path, *flags), "good"], options))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("flags", [(), ("-DOWN",), ("-DOWN", "-fvisibility=hidden")])
def test_the_runtime_may_be_a_librarys_alone(
    tmp_path: Path, flags: tuple[str, ...], options: str
) -> None:
    """Of a C program that loads it; where there is no memory its own operators are found."""
    library = compiled(tmp_path, "-shared", "-fPIC", "-DLIBRARY", *flags)
    use = f"import ctypes, sys; sys.exit(ctypes.CDLL({str(library)!r}).use())"
    assert_passes(preloaded([sys.executable, "-c", use], options))


def test_a_library_may_have_its_own(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    library = compiled(tmp_path / "own", "-shared", "-fPIC", "-DLIBRARY", "-DOWN")
    main = f"-Wl,--no-as-needed,-rpath,{library.parent}"
    flags = ["-DLIBRARY", "-x", "c++", "-", "-x", "none", str(library), main]
    command = ["g++", "-o", tmp_path / "main", *flags]
    code = 'extern "C" int use(void); int main() { delete new int; return use(); }'
    subprocess.run(command, input=code, text=True, check=True)
    for options in OPTIONS:
        assert_passes(preloaded([tmp_path / "main"], options))


def test_sizes_are_checked_of_c_too(tmp_path: Path) -> None:
    program = tmp_path / "program"
    # Weak, as C libraries before C23 have none.
    code = "#include <stdlib.h>\nvoid free_sized(void *, size_t) __attribute__((weak));\n"
    code += "int main(int n, char **v) { free_sized(malloc(24), 23 + n); return 0; }\n"
    command = ["cc", "-x", "c", "-", "-o", program, "-fno-builtin"]
    subprocess.run(command, input=code, text=True, check=True)
    assert_passes(preloaded([program], CHECKS[0]))
    result = preloaded([program, "more"], CHECKS[0])
    assert result.stderr.startswith("patalloc: alloc-dealloc-mismatch: free_sized of 0x")
    assert "which came from malloc, as one of 25 bytes: a 24-byte block" in result.stderr


def test_requests_are_counted(program: Path) -> None:
    result = preloaded([program, "good"], "slack_check=all:count=yes:stats=fd:1")
    assert '"new_requests":' in result.stdout
    assert '"new_requests":0' not in result.stdout.replace(" ", "")
