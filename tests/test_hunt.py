"""patalloc hunt: the programs in tests/hunt have an error each, and their fixed twins none."""

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from conftest import FLAGS

PROGRAMS = Path(__file__).parent / "hunt"
COMPILED = sorted(path.name for path in PROGRAMS.glob("*.c*"))
SCRIPTS = sorted(path.name for path in PROGRAMS.glob("*.py"))


def expected(name: str) -> tuple[list[str], bool]:
    """The bytes as START-END, with #NUMBER of the allocation if not 1; whether they go together."""
    words = (PROGRAMS / name).read_text().splitlines()[0].strip("/*# ").split()
    together = words[-1] == "together"
    words = words[:-1] if together else words
    if words[-1].startswith("#"):
        return [f"{words[0]}{words[1]}"], False
    return [f"{word}#1" for word in words], together


def culprit_lines(name: str) -> list[int]:
    lines = (PROGRAMS / name).read_text().splitlines()
    return [number for number, line in enumerate(lines, 1) if "CULPRIT" in line]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All programs, with an error and, by the suffix .fixed, without."""
    directory = tmp_path_factory.mktemp("hunt")
    for name in COMPILED:
        for suffix, more in (("", []), (".fixed", ["-DFIXED"])):
            compiler = "g++" if name.endswith(".cc") else "cc"
            flags = [flag for flag in FLAGS if compiler == "cc" or flag != "-std=gnu11"] + more
            libraries = ["-lpthread"]
            if name == "stripped_library.c":
                library = directory / f"libnumbers{suffix}.so"
                source = PROGRAMS / "library" / "numbers.c"
                command = ["cc", *flags, "-shared", "-fPIC", source, "-o", library, "-s"]
                subprocess.run(command, check=True)
                libraries += [library, f"-Wl,-rpath,{directory}"]
            program = directory / f"{name}{suffix}"
            command = [compiler, *flags, PROGRAMS / name, "-o", program, *libraries]
            subprocess.run(command, check=True)
    include = sysconfig.get_path("include")
    extension = directory / f"bug_extension{sysconfig.get_config_var('EXT_SUFFIX')}"
    source = PROGRAMS / "library" / "extension.c"
    command = ["cc", "-g", "-O1", "-fPIC", "-shared", f"-I{include}", source, "-o", extension]
    subprocess.run(command, check=True)
    return directory


def hunt(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "patalloc", "hunt", *map(str, arguments)]
    env = dict(os.environ) | variables
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)


def found_by(*arguments: str | Path, **variables: str) -> dict[str, Any]:
    done = hunt("--json", *arguments, **variables)
    assert done.returncode == 1, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check_bytes(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    ranges, together = expected(name)
    culprits = [culprit for finding in found["findings"] for culprit in finding["culprits"]]
    assert sorted(f"{each['start']}-{each['end']}#{each['number']}" for each in culprits) == ranges
    assert len(found["findings"]) == (1 if together else len(ranges))
    return culprits


@pytest.mark.parametrize("name", COMPILED)
def test_it_is_found(built: Path, name: str) -> None:
    found = found_by("--", built / name)
    culprits = check_bytes(found, name)
    for culprit, line in zip(
        sorted(culprits, key=lambda each: str(each["stack"])), culprit_lines(name), strict=False
    ):
        assert re.search(rf"{re.escape(name)}:{line} ", " ".join(culprit["stack"]))
    if name == "stripped_library.c":
        assert re.search(r"#0 library_numbers \(\S*/libnumbers.so\+0x", culprits[0]["stack"][0])
    assert found["runs"] < 60


@pytest.mark.parametrize("name", COMPILED)
def test_the_fixed_twin_is_not_accused(built: Path, name: str) -> None:
    done = hunt("--", built / f"{name}.fixed")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the same with every pattern" in done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_is_found_in_python(built: Path, name: str) -> None:
    found = found_by("--", sys.executable, PROGRAMS / name, PYTHONPATH=str(built))
    (culprit,) = check_bytes(found, name)
    (line,) = culprit_lines(name)
    assert f'{PROGRAMS / name}", line {line} in' in culprit["python"][0]
    if name == "extension.py":
        assert "extension.c:" in " ".join(culprit["stack"])


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_fixed_twin_is_not_accused_in_python(built: Path, name: str) -> None:
    done = hunt("--", sys.executable, PROGRAMS / name, "fixed", PYTHONPATH=str(built))
    assert (done.returncode, done.stderr) == (0, "")
