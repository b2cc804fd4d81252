"""Events as what pytest shows of a failure."""

import json
import os
import re
import select
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, groupby
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pytest

from patalloc.pytest.files import ANSWER, ASKED, plural

_PAUSE, _PATIENCE = 0.005, 20_000  # seconds, and how many of them at most
_numbers = count()  # of questions of this process
# A frame whose code is in the interpreter's file: its functions there are many, and say little.
_INTERPRETER = re.compile(r"^    (.*\([^()]*/(lib)?python3[^/()]*\)|\.\.\. [\d,]+ calls left out)$")
# A line of Python that is pytest's own.
_PYTEST = re.compile(r'^ +File "[^"]*/(_pytest|pluggy)/')


def headline(line: str) -> str:
    """The event in a sentence."""
    return str(json.loads(line)["summary"])


def _shortened(lines: Iterable[str]) -> Iterator[str]:
    """The lines, but for calls that are the interpreter's own or pytest's."""
    tests = (line for line in lines if not _PYTEST.search(line))
    for is_own, group in groupby(tests, lambda line: bool(_INTERPRETER.search(line))):
        if is_own:
            yield "    ... the interpreter's own calls"
        else:
            yield from group


def rendered(lines: Sequence[str], directory: Path) -> str:
    """The events with functions and source lines, which the session's first process looks up.

    Args:
        lines: of JSON.
        directory: of a process of the session.
    """
    events = directory / f"events-{next(_numbers)}"
    events.write_text("".join(f"{line}\n" for line in lines), errors="surrogateescape")
    answer = events.with_suffix(ANSWER)
    try:
        pipe = os.open(directory.parent / ASKED, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.write(pipe, f"{events}\n".encode())
        os.close(pipe)
        for _ in range(_PATIENCE):
            if answer.exists():
                return "\n".join(_shortened(answer.read_text(errors="replace").splitlines()))
            select.select([], [], [], _PAUSE)  # time.sleep may be a test's
    except OSError:  # nobody is there
        pass
    return "\n".join(map(headline, lines))


@runtime_checkable
class _Shown(Protocol):
    """What pytest shows of an exception: its own class for that has no public name."""

    reprcrash: Any  # where it was, and its message, if that is known: path, lineno, message

    def addsection(self, name: str, content: str) -> None: ...


class HeapError(Exception):
    """Stands for errors in the heap where pytest shows an exception."""


def _failure(text: str, message: str, path: str, line: int) -> _Shown:
    """A failure of which this text is shown, and the message where there is room for one line."""
    try:
        raise HeapError(text)
    except HeapError as error:
        shown: _Shown = pytest.ExceptionInfo.from_exception(error).getrepr(style="value")
    if shown.reprcrash:
        shown.reprcrash.path, shown.reprcrash.lineno = path, line
        shown.reprcrash.message = message
    return shown


def fail(
    report: pytest.TestReport | pytest.CollectReport,
    found: Sequence[str],
    directory: Path,
    remark: str = "",
) -> None:
    """Have the report say that it failed for these events, which are shown in a section.

    A failure of its own stays what it was, and gets the section, too.

    Args:
        report: of a phase.
        found: events, as lines of JSON.
        directory: for what reading symbols takes.
        remark: what is to be said before them.
    """
    text = f"{plural(len(found), 'error')} in the heap"
    section = "\n".join(filter(None, [remark, rendered(found, directory)]))
    show_failure(report, text, "\n".join(map(headline, found)), section)
    report.__dict__["patalloc"] = len(found) + getattr(report, "patalloc", 0)


def show_failure(
    report: pytest.TestReport | pytest.CollectReport, text: str, message: str, section: str
) -> None:
    """The same of what is rendered already."""
    shown: Any = report.longrepr
    if not (report.failed and isinstance(shown, _Shown)):
        path, line, _ = report.location or (report.nodeid, None, "")
        own = f"{shown}\n" if report.failed and shown else ""
        shown = _failure(own + text, message, path, (line or 0) + 1)
        report.longrepr = shown
    report.outcome = "failed"
    report.__dict__.pop("wasxfail", None)
    if section:
        shown.addsection("patalloc", section)
