"""`patalloc describe`, the command for gdb, and core dumps: what is known of an address."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from conftest import Build
from patalloc import PRESETS, Config
from patalloc.preload import environment, library

PYTHON = sys.executable
SCRIPT = library().with_name("gdb_command.py")
GDB = ["gdb", "-batch", "-nx", "-x", str(SCRIPT)]
OPTIONS = {
    "guards": PRESETS["find"],
    "ledger": "report=yes:stacks=16:slack_check=all",
    "large": "report=yes:stacks=16",
    "none": "",
}


@attrs.frozen
class Waiting:
    """A process, and the addresses that it told."""

    pid: int
    live: int
    freed: int
    large: int
    others: int
    variable: int


@contextmanager
def waiting(program: Path, options: str) -> Iterator[Waiting]:
    process = subprocess.Popen(
        [program],
        env=environment(Config.parse(options)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    try:
        told = (int(each, 16) for each in process.stdout.readline().split())
        yield Waiting(process.pid, *told)
    finally:
        process.kill()
        process.communicate()


def describe(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [PYTHON, "-m", "patalloc", "describe", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def dump(pid: int, path: Path) -> Path:
    command = [*GDB, "-p", str(pid), "-ex", f"gcore {path}"]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    return path


def told(*arguments: object) -> str:
    done = describe(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("of", ["process", "core"])
@pytest.mark.parametrize("options", OPTIONS)
def test_blocks_are_known_by_address(build: Build, tmp_path: Path, options: str, of: str) -> None:
    with waiting(build("addresses"), OPTIONS[options]) as found:
        core = dump(found.pid, tmp_path / "core") if of == "core" else None
        source = ["--core", core] if core else ["--pid", found.pid]
        large = told(hex(found.large + 5), *source)
        assert large.startswith(f"{found.large + 5:#x} is 5 bytes into a 1048576-byte block at ")
        past = told(found.others + (2 << 20), *source)
        assert "is 1 byte past the end of a 2097152-byte block" in past
        nowhere = told(found.variable, *source)
        assert "is in or near no block that patalloc knows, in /" in nowhere
        assert told("0x10", *source).endswith("knows, where nothing is mapped\n")
        if options == "none":
            assert "allocated" not in large
            return
        assert f"allocated by thread {found.pid}, " in large
        assert "#0 make at " in large
        assert "in_a_thread at " in past
        assert f"by thread {found.pid}" not in past
        if options == "large":
            assert "in [heap]" in told(found.live, *source) or core
            return
        live, freed = told(found.live + 39, *source), told(found.freed, *source)
        assert f"is 39 bytes into a 40-byte block at {found.live:#x}" in live
        assert "is 0 bytes into what was a 100-byte block" in freed or options == "ledger"
        assert ("\n    #0 give at " in freed) == (options == "guards")
        data = json.loads(told("--json", found.live - 1, *source))
        assert (data["place"], data["distance"], data["block"]["size"]) == ("before", 1, 40)


def test_gdb_has_a_command_for_it(build: Build, tmp_path: Path) -> None:
    def ask(*source: str) -> str:
        asked = ["patalloc (char *)live + 3", "patalloc &live", "patalloc 1+", "patalloc 1"]
        asked = [part for each in asked for part in ("-ex", each)]
        done = subprocess.run(
            [*GDB, *source, *asked], capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout + done.stderr

    program = build("addresses")
    with waiting(program, PRESETS["find"]) as found:
        core = dump(found.pid, tmp_path / "core")
        of_process = ask(str(program), "-p", str(found.pid))
    for said in (of_process, ask(str(program), str(core))):
        assert f"{found.live + 3:#x} is 3 bytes into a 40-byte block" in said
        assert "#0 make at " in said
        assert f"{found.variable:#x} is in or near no block" in said
        assert "A syntax error in expression" in said
        assert "Traceback" not in said
    assert "neither a process nor a core dump" in ask("/bin/true")
    shown = subprocess.run(
        [PYTHON, "-m", "patalloc", "lib", "--gdb"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == f"{SCRIPT}\n"


def test_the_last_report_is_in_a_core_dump(build: Build, tmp_path: Path) -> None:
    core, program = tmp_path / "core", build("addresses")
    for report in ("yes", str(tmp_path / "report")):
        options = f"report={report}:stacks=16"
        command = [*GDB, "-ex", f"set environment LD_PRELOAD {library()}"]
        command += ["-ex", f"set environment PATALLOC_OPTIONS {options}"]
        command += ["-ex", "run x", "-ex", "continue", "-ex", f"gcore {core}", str(program)]
        subprocess.run(command, capture_output=True, timeout=60, check=True)
        named = [PYTHON, "-m", "patalloc", "symbolize", str(core)]
        said = subprocess.run(named, capture_output=True, text=True, timeout=60, check=True).stdout
        assert said.startswith("patalloc: abort: SIGABRT, by abort")
        assert "main at " in said
        assert "addresses.c:" in said


def test_what_cannot_be_described_is_said(build: Build, tmp_path: Path) -> None:
    plain = subprocess.Popen(["sleep", "60"])
    nothing = tmp_path / "nothing"
    nothing.write_text("no core dump")
    with waiting(build("addresses"), PRESETS["find"]) as found:
        core = dump(found.pid, tmp_path / "core")
    damaged = tmp_path / "damaged"
    damaged.write_bytes(core.read_bytes()[: core.stat().st_size // 2])
    try:
        for wrong, words in [
            (["0x1"], "one of --pid and --core is needed"),
            (["0x1", "--pid", "1", "--core", str(core)], "one of --pid and --core is needed"),
            (["there", "--pid", "1"], "'there': no address"),
            (["-5", "--pid", "1"], "No such option"),
            (["0x1", "--pid", str(plain.pid)], "does not run under patalloc"),
            (["0x1", "--pid", str(found.pid)], "there is no process"),
            (["0x1", "--core", str(nothing)], "no core dump"),
            (["0x1", "--core", str(PYTHON)], "no core dump"),
            (["0x1", "--core", str(damaged)], "damaged"),
        ]:
            done = describe(*wrong)
            assert (done.returncode, words in done.stderr) == (2, True), (wrong, done.stderr)
    finally:
        plain.kill()
        plain.wait()


def test_a_process_is_read_through_a_descriptor_of_its_memory(build: Build) -> None:
    with waiting(build("addresses"), PRESETS["find"]) as found:
        memory = os.open(f"/proc/{found.pid}/mem", os.O_RDONLY)
        command = [PYTHON, "-m", "patalloc", "describe", hex(found.live)]
        command += ["--pid", str(found.pid), "--memory", str(memory)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, pass_fds=[memory]
        )
        os.close(memory)
        assert "is 0 bytes into a 40-byte block" in done.stdout
        os.kill(found.pid, signal.SIGKILL)
