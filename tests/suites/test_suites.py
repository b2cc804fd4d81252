"""The runner on a suite made up here: what it notices, and what it lists."""

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

DRIVER = "int main(void) { return do_test(); }"
UNDER = 'getenv("LD_PRELOAD")'
TESTS = {
    "good": "return 0;",
    "bad": f"return {UNDER} != NULL;",
    "deadly": f"if ({UNDER}) raise(SIGSEGV); return 0;",
    "endless": f"while ({UNDER}) if (!fork()) setpgid(0, 0), pause(); else pause(); return 0;",
    "bad-anyway": "return 1;",
    "idle": "return 77;",
    "without-code": "return unheard_of();",
    "safe-linking": "return 1;",
}
HEADERS = ["signal.h", "stdlib.h", "unistd.h", "support/test-driver.c"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Tests as glibc has them."""
    for directory in ("malloc", "support", "include"):
        (tmp_path / directory).mkdir()
    (tmp_path / "support" / "test-driver.c").write_text(DRIVER)
    for name, body in TESTS.items():
        head, driver = "".join(f"#include <{header}>\n" for header in HEADERS[:-1]), HEADERS[-1]
        source = f"{head}static int do_test(void) {{ {body} }}\n#include <{driver}>\n"
        (tmp_path / "malloc" / f"tst-{name}.c").write_text(source)
    return tmp_path


def suites(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tests" / "suites"), "glibc", str(checkout), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def cells(output: str) -> dict[str, list[str]]:
    """The rows of the table."""
    rows = [line.strip("│").split("│") for line in output.splitlines() if line.startswith("│")]
    return {name.strip(): [cell.strip() for cell in rest] for name, *rest in rows}


def test_a_program_that_fails_under_the_library_alone_is_told(checkout: Path) -> None:
    done = suites(checkout, "--options", "threshold=4K", "--timeout", "5")
    assert cells(done.stdout) == {
        "tst-good": ["passes", "passes"],
        "tst-bad": ["passes", "exit 1"],
        "tst-deadly": ["passes", "SIGSEGV"],
        "tst-endless": ["passes", "longer than 5 s"],
        "tst-bad-anyway": ["exit 1", "exit 1"],
        "tst-idle": ["unsupported", "unsupported"],
        "pass, of 6": ["4", "1"],
    }
    assert "undefined reference to `unheard_of': tst-without-code" in done.stdout
    assert "own freed chunks: tst-safe-linking" in done.stdout
    assert "3 worse" in done.stdout
    assert done.returncode == 1


def test_a_program_that_passes_is_well(checkout: Path) -> None:
    done = suites(checkout, "--only", "tst-good")
    assert (done.returncode, cells(done.stdout)["pass, of 1"]) == (0, ["1"] * 5)


def test_a_directory_without_the_suite_is_told(tmp_path: Path) -> None:
    done = suites(tmp_path)
    assert done.returncode == 2
    assert "no programs of glibc" in done.stderr
