"""The files of a session: what processes report, and what is known of the tests so far.

A session has a directory, and each process that runs tests has one in there, with the reports of
that process and of those that it starts. Files are open only while they are written or read: tests
see no descriptor.
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from time import time_ns
from typing import Any

ASKED = "asked"  # the session's pipe for who wants events as text
ANSWER = ".text"
_REPORT = "report."
REPORTS_MOST = 100  # that the library makes in a process
GOES_ON = 75  # exit status of a process behind which another one is to go on (sysexits.h)
_TICK = 100_000_000  # nanoseconds: files that come so soon one after another may have the same time


def report_option(session: Path) -> str:
    """The option `report` for a process that is to be started, with a directory of its own."""
    return f"{mkdtemp(dir=session)}/{_REPORT}%p"


def own_directory() -> Path:
    """That of this process, or of one that is started now."""
    options = dict(each.split("=", 1) for each in os.environ["PATALLOC_OPTIONS"].split(":"))
    return Path(options["report"]).parent


def _append(path: Path, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, data)
    finally:
        os.close(file)


class Reports:
    """The events that a process and its children have reported, each to be taken once.

    How far they were taken is in a file as well, for who goes on when the process has died.

    Attributes:
        directory: where they are.
        own: how many of those that were taken here are this process's own.
    """

    def __init__(self, directory: Path) -> None:
        """Those in this directory that nobody has taken."""
        self.directory = directory
        self.own = 0
        self._listed = 0  # the directory's time when all files in it were known
        self._taken: dict[str, int] = {}
        with suppress(FileNotFoundError, ValueError):  # none yet, or cut short as it was written
            self._taken = json.loads((directory / "taken").read_text())

    def take(self) -> list[str]:
        """The lines of JSON that are new; none while a test has put other files in place of all."""
        found: list[str] = []
        with suppress(OSError):
            self._list()
            for name in sorted(self._taken):
                found += self._new_lines(name)
            if found:
                (self.directory / "taken").write_text(json.dumps(self._taken))
        return found

    def _list(self) -> None:
        """Find new files, mostly by the directory's time: there are none."""
        changed = os.stat(self.directory).st_mtime_ns
        if changed == self._listed:
            return
        self._listed = changed if time_ns() - changed > _TICK else 0
        for name in os.listdir(self.directory):
            if name.startswith(_REPORT):
                self._taken.setdefault(name, 0)

    def _new_lines(self, name: str) -> list[str]:
        path, taken = f"{self.directory}/{name}", self._taken[name]
        if os.stat(path).st_size <= taken:
            return []
        with open(path, "rb") as file:
            file.seek(taken)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._taken[name] = taken + len(whole)
        # Not by splitlines, for which text has other ends of lines, too.
        lines = [*filter(None, whole.decode(errors="surrogateescape").split("\n"))]
        if name == f"{_REPORT}{os.getpid()}":
            self.own += len(lines)
        return lines


class Journal:
    """What was run, and what came of it, so that another process can go on.

    Attributes:
        running: the test that was begun and not finished, and its phase; None for none.
        reports: of those that were finished: what pytest reported of each, as plain data.
        died: of those that were not: the phase, and what is known of the death.
        differs: of those that do something else with another pattern, what is known of that.
        warnings: of tests, as plain data.
    """

    def __init__(self, session: Path) -> None:
        """That of a session, as far as it was written."""
        self._path = session / "journal"
        self.running: tuple[str, str] | None = None
        self.reports: dict[str, list[dict[str, Any]]] = {}
        self.died: dict[str, dict[str, Any]] = {}
        self.differs: dict[str, dict[str, str]] = {}
        self.warnings: dict[str, list[dict[str, Any]]] = {}
        with suppress(FileNotFoundError):
            for line in self._path.read_text().splitlines():
                self._read(json.loads(line))

    def _read(self, entry: dict[str, Any]) -> None:
        name = entry["test"]
        if "phase" in entry:
            self.running = name, entry["phase"]
        if "report" in entry:
            self.reports.setdefault(name, []).append(entry["report"])
        if "warning" in entry:
            self.warnings.setdefault(name, []).append(entry["warning"])
        if "died" in entry:
            self.died[name] = entry["died"]
        if "differs" in entry:
            self.differs[name] = entry["differs"]
        if "died" in entry or "finished" in entry:
            self.reports.setdefault(name, [])
            self.running = None

    def write(self, test: str, **entry: object) -> None:
        """Add the test's `phase`, a `report`, a `warning`, how it `died`, or that it `differs`.

        And that it is `finished`.
        """
        line = json.dumps({"test": test, **entry}, default=str)
        _append(self._path, f"{line}\n".encode())


def left_over(session: Path) -> list[str]:
    """The events that no test's process has taken."""
    directories: Iterable[Path] = sorted(each for each in session.iterdir() if each.is_dir())
    return [line for directory in directories for line in Reports(directory).take()]


def counts(session: Path) -> list[int]:
    """How many events each process has reported."""
    return [path.read_bytes().count(b"\n") for path in session.glob(f"*/{_REPORT}*")]


def remark(session: Path, line: str) -> None:
    """Have this line told at the end of the session."""
    _append(session / "remarks", f"{line}\n".encode())


def remarks(session: Path) -> list[str]:
    """Those lines."""
    path = session / "remarks"
    return path.read_text().splitlines() if path.exists() else []


def plural(number: int, what: str, ending: str = "s") -> str:
    """So many of these, as said in a sentence."""
    return f"{number} {what}{'' if number == 1 else ending}"
