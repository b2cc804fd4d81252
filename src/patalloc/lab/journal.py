"""The journal of an experiment: a line a run, on the disk before the next one begins."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

VERSION = 1


class JournalError(ValueError):
    """A file that is no journal, or another experiment's."""


@attrs.frozen
class Entry:
    """A run.

    Attributes:
        round: which; 0 for the one that is not counted.
        point: its name.
        metrics: what was measured, by name.
        output: a digest of what it printed.
        failure: why it does not count; "" where it does.
        stats: of the heap's own counters those that are not 0, in round 0 of a point of patalloc's.
    """

    round: int
    point: str
    metrics: Mapping[str, float]
    output: str = ""
    failure: str = ""
    stats: Mapping[str, int] = attrs.field(factory=dict)


@attrs.define
class Journal:
    """Of one experiment; to be used as a context manager.

    Attributes:
        path: the file. None: nothing is kept.
        plan: what the experiment is: of a file that is there it must be the same.
        entries: what there is, from the first run on.
    """

    path: Path | None
    plan: Mapping[str, Any]
    entries: list[Entry] = attrs.field(factory=list)
    _descriptor: int = -1

    def __enter__(self) -> Self:
        """Raises JournalError where the file is another experiment's, and OSError."""
        if self.path is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o666)
            try:
                self._begin(self.path)
            except BaseException:
                self.close()
                raise
        return self

    def _begin(self, path: Path) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"{path}: another process writes it") from None
        whole, size = 0, os.fstat(self._descriptor).st_size
        if size:
            found = read(path)
            plan, self.entries, whole = found.plan, found.entries, found.whole
            for key in {*plan, *self.plan}:
                if plan.get(key) != self.plan.get(key):
                    raise JournalError(f"{path}: of another experiment: other {key}")
        if size > whole:
            os.truncate(self._descriptor, whole)  # a line that was cut short
        if not whole:
            self._write({"patalloc": VERSION, "plan": dict(self.plan)})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._descriptor < 0:
            return
        data = json.dumps(line).encode() + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]
        os.fdatasync(self._descriptor)

    def add(self, entry: Entry) -> None:
        """Keep it.

        Raises:
            OSError: as on a full disk.
        """
        self._write(attrs.asdict(entry))
        self.entries.append(entry)


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Whole ones, and where they end."""
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return  # cut short as it was written
            end += len(line)
            try:
                found = json.loads(line)
            except ValueError:
                raise JournalError(f"{path}: line {number} is no JSON") from None
            if not isinstance(found, dict):
                raise JournalError(f"{path}: line {number} is no run")
            yield found, end


@attrs.frozen
class Found:
    """What a file has.

    Attributes:
        plan: of the experiment. entries: the runs.
        whole: bytes up to the end of the last whole line.
    """

    plan: dict[str, Any]
    entries: list[Entry]
    whole: int


def _entry(path: Path, number: int, line: dict[str, Any]) -> Entry:
    try:
        entry = Entry(**line)
        sound = isinstance(entry.round, int) and isinstance(entry.point, str)
        sound = sound and isinstance(entry.metrics, dict) and isinstance(entry.failure, str)
    except TypeError:
        sound = False
    if not sound:
        raise JournalError(f"{path}: line {number} is no run")
    return entry


def read(path: Path) -> Found:
    """What there is.

    Raises:
        OSError: the file can't be read.
        JournalError: it is no journal, or of a later version.
    """
    lines = [*_lines(path)]
    first = lines[0][0] if lines else {}
    if "patalloc" not in first or not isinstance(first.get("plan"), dict):
        raise JournalError(f"{path}: no journal of patalloc's")
    if first["patalloc"] != VERSION:
        raise JournalError(f"{path}: of version {first['patalloc']}; {VERSION} is known")
    entries = [_entry(path, number, line) for number, (line, _) in enumerate(lines[1:], 2)]
    return Found(first["plan"], entries, lines[-1][1])
