"""What is told at the end of a session."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from patalloc.pytest.files import REPORTS_MOST, counts, plural, remarks


class Summary:
    """Counts what was found, and tells it at the end of the session, and what was not seen."""

    def __init__(self, session: Path) -> None:
        """For the session with this directory."""
        self._session = session
        self._events = 0
        self._failed: set[str] = set()

    def _count(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        events = getattr(report, "patalloc", 0)
        if events:
            self._events += events
            self._failed.add(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count those of a test."""
        self._count(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Count those of imports."""
        self._count(report)

    def pytest_terminal_summary(self, terminalreporter: "pytest.TerminalReporter") -> None:
        """A line for each fact."""
        terminalreporter.section("patalloc")
        for line in self._facts():
            terminalreporter.line(line)

    def _facts(self) -> Iterator[str]:
        tests = len(self._failed)
        yield (
            f"{plural(self._events, 'error')} in the heap, in {plural(tests, 'test')}"
            if self._events
            else "no errors in the heap"
        )
        yield from remarks(self._session)
        if full := [each for each in counts(self._session) if each >= REPORTS_MOST]:
            yield (
                f"{plural(len(full), 'process', 'es')} made {REPORTS_MOST} reports, and no more: "
                "errors after that are not told"
            )
        coverage = import_module("patalloc.hunt.coverage")  # takes long
        seen = coverage.read(self._session.glob("*/mappings"))
        if seen.anonymous:
            share = 100 * seen.heap // seen.anonymous
            megabytes = f"{seen.heap / 1e6:.0f} of {seen.anonymous / 1e6:.0f} MB"
            yield f"malloc's blocks had {megabytes} of the memory at the end ({share} %)"
        for allocator in seen.unseen:
            yield f"{allocator}: takes memory of its own, which is not watched"
