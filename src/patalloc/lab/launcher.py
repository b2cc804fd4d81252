"""One run of a program, measured from outside."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import attrs

from patalloc.errors import PreloadError
from patalloc.heap import Stats

_BLOCK = 1 << 20
# What is measured, and the unit; a machine may lack the last ones. Lower is better, of each.
METRICS = {
    "wall": "s",
    "cpu": "s",
    "peak_rss": "B",
    "peak_anon": "B",
    "anon": "B",
    "pss": "B",
    "vmas": "",
    "minor_faults": "",
    "major_faults": "",
    "context_switches": "",
    "page_faults": "",
    "instructions": "",
    "cycles": "",
    "cache_misses": "",
}
TIMES = frozenset({"wall", "cpu", "cycles", "cache_misses", "context_switches"})


def tool(name: str) -> Path:
    """The path of a program or library of this package's own.

    Raises:
        PreloadError: the package was installed without it.
    """
    with as_file(files("patalloc") / "lab" / name) as path:
        if not path.is_file():
            raise PreloadError(f"{path}: not there; install patalloc again")
        return path


@attrs.frozen
class Program:
    """What is run, and what it must do in each run.

    Attributes:
        command: the program and its arguments.
        check: a shell command that must succeed after each run, with STATUS and STDOUT in its
            environment (the exit status, and a file); None to compare exit status and standard
            output with the first run's.
        timeout: seconds after which a run is ended, and counts as failed.
    """

    command: tuple[str, ...]
    check: str | None = None
    timeout: float = 600


@attrs.frozen
class Run:
    """What one run did.

    Attributes:
        status: its exit status; minus a signal's number; None where it took too long.
        output: a digest of its standard output; "" where a check has looked at it.
        metrics: by METRICS' names.
        is_mapped: whether the library that was asked for was there as it ended; None where that
            can't be told.
        complaint: its last line on standard error, if it failed.
        is_checked: whether the status is a check's.
    """

    status: int | None
    output: str
    metrics: Mapping[str, float]
    is_mapped: bool | None = None
    complaint: str = ""
    is_checked: bool = False


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 1000, 0))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _metrics(found: dict[str, Any]) -> dict[str, float]:
    cpu = {"cpu": found["user"] + found["system"]} if found else {}
    return {name: float(each) for name, each in (found | cpu).items() if name in METRICS}


def heap_stats(directory: Path) -> dict[str, int]:
    """What the heap of a run has counted, of its processes in that with most blocks; not what is 0.

    Empty where none has left its stats, as one that ends by _exit(2).
    """
    found = []
    for path in directory.glob("stats.*"):
        with suppress(ValueError):  # of a process that was killed as it wrote
            found.append(Stats.from_json(path.read_bytes()))
        path.unlink()
    busiest = max(found, key=lambda stats: stats.blocks, default=None)
    counted = attrs.asdict(busiest) if busiest else {}
    return {name: value for name, value in counted.items() if type(value) is int and value}


def launch(
    program: Program, environment: Mapping[str, str], directory: Path, *, library: str = ""
) -> Run:
    """Run it once.

    Args:
        program: the program.
        environment: all that it has there.
        directory: for what it writes to its standard output, and what is measured.
        library: a path that is to be looked for among what it has mapped.

    Raises:
        OSError: nothing can be started, or written there.
    """
    result, out, error = (directory / name for name in ("result", "stdout", "stderr"))
    result.unlink(missing_ok=True)
    own = {name: value for name, value in environment.items() if name != "LD_PRELOAD"}
    preload = environment.get("LD_PRELOAD", "")
    command = [str(tool("launch")), str(result), library, preload, *program.command]
    with out.open("wb") as stdout, error.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=own,
            start_new_session=True,
        )
        is_late = False
        try:
            process.wait(program.timeout)
        except subprocess.TimeoutExpired:
            is_late = True
        finally:
            process.terminate()  # which ends what it has started, too
            process.wait()
    text = result.read_text() if result.exists() else ""
    if not text and not is_late:
        raise OSError(f"{program.command[0]}: can't be measured: {_last_line(error)}")
    found = json.loads(text) if text else {}
    status = os.waitstatus_to_exitcode(found["status"]) if found else None
    digest = _digest(out)
    if program.check is not None:
        env = dict(os.environ) | {"STATUS": str(status), "STDOUT": str(out)}
        done = subprocess.run(program.check, shell=True, env=env)  # noqa: S602
        status, digest = (None if status is None else done.returncode), ""
    return Run(
        status,
        digest,
        _metrics(found),
        found.get("has_library") if found.get("traced") else None,
        _last_line(error) if status != 0 else "",
        program.check is not None,
    )
