"""The journal of an experiment: a line a run, on the disk before the next one begins."""

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
    """

    round: int
    point: str
    metrics: Mapping[str, float]
    output: str = ""
    failure: str = ""


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
        if self.path is None:
            return self
        whole = 0
        if self.path.exists() and self.path.stat().st_size:
            plan, self.entries, whole = read(self.path)
            if plan != self.plan:
                what = next(
                    key for key in {*plan, *self.plan} if plan.get(key) != self.plan.get(key)
                )
                raise JournalError(f"{self.path}: of another experiment: other {what}")
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        if os.fstat(self._descriptor).st_size > whole:
            os.truncate(self._descriptor, whole)  # a line that was cut short
        os.lseek(self._descriptor, 0, os.SEEK_END)
        if not whole:
            self._write({"patalloc": VERSION, "plan": dict(self.plan)})
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)

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


def read(path: Path) -> tuple[dict[str, Any], list[Entry], int]:
    """The plan, the runs, and how many bytes of it are whole.

    Raises:
        OSError: the file can't be read.
        JournalError: it is no journal, or of a later version.
    """
    plan: dict[str, Any] | None = None
    entries: list[Entry] = []
    whole = 0
    for line, end in _lines(path):
        whole = end
        if plan is None:
            if "patalloc" not in line or "plan" not in line:
                raise JournalError(f"{path}: no journal of patalloc's")
            if line["patalloc"] != VERSION:
                raise JournalError(f"{path}: of version {line['patalloc']}; {VERSION} is known")
            plan = line["plan"]
            continue
        try:
            entries.append(Entry(**line))
        except TypeError:
            raise JournalError(f"{path}: line {len(entries) + 2} is no run") from None
    if plan is None:
        raise JournalError(f"{path}: no journal of patalloc's")
    return plan, entries, whole
