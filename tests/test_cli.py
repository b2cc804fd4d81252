"""The command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from patalloc.machine import options as all_options
from patalloc.preload import library

PYTHON = sys.executable
ALLOCATE = "b = bytearray(10**6); b[:] = bytes(10**6)"


def patalloc(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-m", "patalloc", *arguments]
    env = dict(os.environ) | variables
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)


def test_lib() -> None:
    assert patalloc("lib").stdout.strip() == str(library())
    directory = library().parent
    assert {"libpatalloc.so", "patalloc.h", "patalloc.pc"} <= set(os.listdir(directory))


def test_run_takes_the_programs_place() -> None:
    code = "import os; print(os.getpid(), os.environ['LD_PRELOAD'])"
    with subprocess.Popen(
        [PYTHON, "-m", "patalloc", "run", "--", PYTHON, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.communicate()[0].split() == [str(process.pid), str(library())]


@pytest.mark.parametrize("flags", [[], ["--summary"], ["--json"]])
def test_run_passes_the_status_on(flags: list[str]) -> None:
    assert patalloc("run", *flags, "--", "sh", "-c", "exit 7").returncode == 7
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV):
        result = patalloc("run", *flags, "--", "sh", "-c", f"kill -{int(number)} $$")
        assert result.returncode == -number
    assert patalloc("run", *flags, "--", "no-such-program").returncode == 127
    assert patalloc("run", *flags, "--", "/etc/passwd").returncode == 126


def test_run_passes_arguments_and_streams_on() -> None:
    command = [PYTHON, "-m", "patalloc", "run", "--summary", "cat", "-", "--", "/dev/null"]
    result = subprocess.run(command, input="text", capture_output=True, text=True)
    assert result.stdout == "text"


def test_run_passes_signals_on() -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
        "print('ready', flush=True); time.sleep(30)"
    )
    command = [PYTHON, "-m", "patalloc", "run", "--summary", "--", PYTHON, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 9


def test_summary() -> None:
    result = patalloc("run", "--summary", "--pattern", "0x5a", "--", PYTHON, "-c", ALLOCATE)
    assert "pattern 0x5a, backend memfd" in result.stderr
    assert "patterned by refpage" in result.stderr
    assert "Processes" not in result.stdout


def test_summary_of_children_as_json() -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{ALLOCATE}'])"
    result = patalloc("run", "--json", "--fill=memset", "--", PYTHON, "-c", code)
    data = json.loads(result.stderr)
    assert data["status"] == 0
    parent, child = data["processes"]
    assert child["blocks_memset"] >= 1
    assert child["pages_dirtied"] > 0
    assert parent["small_requests"] > 1000


def test_run_adds_to_the_environments_options() -> None:
    code = "import os; print(os.environ['PATALLOC_OPTIONS'])"
    variables = {"PATALLOC_OPTIONS": "pattern=0x11:guard_pages=2"}
    shown = patalloc("run", "--pattern", "0x22", "--", PYTHON, "-c", code, **variables).stdout
    assert "pattern=0x22:" in shown
    assert ":guard_pages=2:" in shown


def test_bad_input_ends_with_status_2() -> None:
    result = patalloc("run", "--pattern", "colour", "--", "true")
    assert result.returncode == 2
    assert result.stderr.startswith("patalloc: pattern=colour: bad value; allowed: a byte")
    for arguments in (["run"], ["run", "--colour", "x", "true"], ["rnu"]):
        assert patalloc(*arguments).returncode == 2
    assert patalloc("run", "true", PATALLOC_OPTIONS="x=y").returncode == 2


def test_tags_are_taken_everywhere() -> None:
    result = patalloc("run", "--tag", "auto", "--tag-check", "async", "--", "true")
    assert (result.returncode, result.stderr) == (0, "")


def test_options_are_those_of_the_core() -> None:
    data = json.loads(patalloc("options", "--json").stdout)
    assert [option["name"] for option in data] == [option.name for option in all_options()]
    assert "release_interval" in patalloc("options", COLUMNS="200").stdout
    text = patalloc("run", "--help").stdout
    for option in all_options():
        assert "--" + option.name.replace("_", "-") in text


def test_doctor() -> None:
    data = json.loads(patalloc("doctor", "--json").stdout)
    assert data["machine"]["page_size"] == os.sysconf("SC_PAGESIZE")
    assert {feature["name"] for feature in data["features"]} >= {"memfd", "guard_regions", "mte"}
    assert "mremap_dontunmap" in patalloc("doctor", COLUMNS="200").stdout


def test_stripped_library_is_missed(tmp_path: Path) -> None:
    code = (
        "import patalloc.preload as preload, pathlib\n"
        f"preload.files = lambda _: pathlib.Path({str(tmp_path)!r})\n"
        "from patalloc.cli import main; import sys; sys.argv[1:] = ['lib']; main()"
    )
    result = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
    assert result.returncode == 2
    assert "install patalloc again" in result.stderr
