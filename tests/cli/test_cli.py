"""The command line."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import ROOT
from patalloc.machine import options as all_options
from patalloc.preload import library

PYTHON = sys.executable
ALLOCATE = "b = bytearray(10**6); b[:] = bytes(10**6)"


def patalloc(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-m", "patalloc", *arguments]
    env = dict(os.environ) | variables
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)


@pytest.mark.parametrize("subcommand", ["--version", "lib"])
def test_only_what_a_subcommand_needs_is_imported(subcommand: str) -> None:
    command = [PYTHON, "-X", "importtime", "-m", "patalloc", subcommand]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines()}
    assert "patalloc.cli" in imported
    assert not {"patalloc.hunt", "patalloc.watch.symbols", "rich", "drgn"} & imported


def test_lib() -> None:
    assert patalloc("lib").stdout.strip() == str(library())
    directory = library().parent
    assert {"libpatalloc.so", "patalloc.h", "patalloc.pc"} <= set(os.listdir(directory))


def test_the_program_takes_the_place_of_run_where_nothing_is_to_be_shown() -> None:
    code = "import os; print(os.getpid(), os.environ['LD_PRELOAD'])"
    with subprocess.Popen(
        [PYTHON, "-m", "patalloc", "run", "--report=no", "--", PYTHON, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.communicate()[0].split() == [str(process.pid), str(library())]


@pytest.mark.parametrize("flags", [[], ["--report=no"], ["--summary"], ["--json"]])
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


COUNTING = (
    "import signal, sys, time\n"
    "count = 0\n"
    "def on(number, frame):\n    global count; count += 1\n"
    "signal.signal(NUMBER, on)\n"
    "print('ready', flush=True)\n"
    "while not count: time.sleep(0.01)\n"
    "time.sleep(0.5); sys.exit(8 + count)"
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_run_passes_signals_on(number: signal.Signals) -> None:
    code = COUNTING.replace("NUMBER", str(int(number)))
    command = [PYTHON, "-m", "patalloc", "run", "--summary", "--", PYTHON, "-c", code]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(20) == 9


def test_run_leaves_a_terminals_signals_to_it() -> None:
    """The program gets them from there, once."""
    code = COUNTING.replace("NUMBER", str(int(signal.SIGINT)))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execl(PYTHON, PYTHON, "-m", "patalloc", "run", "--", PYTHON, "-c", code)  # noqa: S606
    while b"ready" not in os.read(terminal, 1000):
        pass
    time.sleep(0.1)
    os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 9


def test_run_shows_errors_with_source_lines(tmp_path: Path) -> None:
    source = ROOT / "tests" / "watch" / "use_after_free_write.c"
    program = tmp_path / "program"
    subprocess.run(["cc", "-g", "-w", "-D_GNU_SOURCE", source, "-o", program], check=True)
    flags = ["--on-free=quarantine", "--stacks=8"]
    shown = patalloc("run", *flags, "--", str(program))
    assert (shown.returncode, shown.stdout) == (-signal.SIGSEGV, "")
    line = r"#0 main at \S*use_after_free_write.c:"
    assert re.search(
        rf"use-after-free: write at 0x\w+, 5 bytes inside what was a 1048576-byte block at 0x\w+\n"
        rf"  in thread \d+ \(program\) of process \d+:\n    {line}7 (.*\n)*"
        rf"  allocated by thread \d+, \d+ ms before:\n    {line}5 (.*\n)*"
        rf"  freed by thread \d+, \d+ ms before:\n    {line}6 ",
        shown.stderr,
    )
    summed = patalloc("run", "--summary", *flags, "--", str(program))
    assert "use-after-free" in summed.stderr
    kept = tmp_path / "kept"
    bare = patalloc("run", f"--report={kept}", *flags, "--", str(program))
    assert bare.returncode == -signal.SIGSEGV
    assert bare.stderr.count("\n") == 1
    rendered = patalloc("symbolize", str(kept))
    assert (rendered.returncode, rendered.stderr) == (0, "")
    assert re.search(line, rendered.stdout)
    off = patalloc("run", "--report=no", "--", str(program))
    assert (off.returncode, off.stderr) == (0, "")


def test_symbolize_takes_a_log(tmp_path: Path) -> None:
    """Of a program under a bare preload, whose own lines stay as they are."""
    source = tmp_path / "died.c"
    source.write_text("int main(void) {\n  return *(volatile int *)8;\n}\n")
    subprocess.run(["cc", "-g", "-w", source, "-o", tmp_path / "died"], check=True)
    env = dict(os.environ, LD_PRELOAD=str(library()), PATALLOC_OPTIONS="report=yes:stacks=8")
    died = subprocess.run([tmp_path / "died"], env=env, capture_output=True, text=True)
    log = tmp_path / "log"
    log.write_text(f"before\n{died.stderr}behind")
    lines = patalloc("symbolize", str(log)).stdout.splitlines()
    assert lines[0] == "before"
    assert lines[1].startswith("patalloc: null-pointer: SIGSEGV, read at 0x8")
    assert lines[3] == f"    #0 main at {source}:2 ({tmp_path / 'died'})"
    assert lines[-1] == "behind"


def test_symbolize_refuses_what_is_no_report(tmp_path: Path) -> None:
    for text in ("no json", '{"version": 1}', "[1]", '{"colour": "red"}'):
        (tmp_path / "file").write_text(text)
        result = patalloc("symbolize", str(tmp_path / "file"))
        assert result.returncode == 2
        assert "no event of patalloc's" in result.stderr
    assert patalloc("symbolize", str(tmp_path / "absent")).returncode == 2
    (tmp_path / "file").write_text("")
    assert patalloc("symbolize", str(tmp_path / "file")).stdout == ""


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


@pytest.mark.parametrize("command", ["doctor", "options", "run --summary -- true"])
def test_any_locale_and_pipe_can_show_tables(command: str) -> None:
    done = patalloc(*command.split(), PYTHONIOENCODING="ascii", COLUMNS="40")
    assert done.returncode == 0
    shown = done.stdout + done.stderr
    assert "Traceback" not in shown
    assert not set(shown) & set("│┃|…\x1b")


def test_names_are_never_cut() -> None:
    shown = patalloc("doctor", COLUMNS="40", FORCE_COLOR="1").stdout
    assert "mremap_dontunmap" in shown


def test_help_tells_the_defaults_of_run() -> None:
    shown = " ".join(patalloc("run", "--help").stdout.split())
    assert re.search(r"--report VALUE [^\[]*\[yes\]", shown)
    assert re.search(r"--slack-check VALUE [^\[]*\[large\]", shown)
    assert re.search(r"--threshold VALUE [^\[]*\[128K\]", shown)


@pytest.mark.parametrize("option", ["report=Yes", "stats=stderr", "trace=yes"])
def test_a_word_is_no_files_name(option: str, tmp_path: Path) -> None:
    name, value = option.split("=")
    done = patalloc("run", f"--{name}", value, "--", "true")
    assert done.returncode == 2
    assert f"{option}: bad value" in done.stderr
    assert "a path with a / or a . in it" in done.stderr
