"""The part of the plugin in a process that runs tests: it is under the library, and watches."""

import ctypes
import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from patalloc.pytest import failures
from patalloc.pytest.files import Journal, Reports, own_directory
from patalloc.pytest.marked import Marked
from patalloc.pytest.record import Record
from patalloc.pytest.succession import Succession
from patalloc.pytest.summary import Summary
from patalloc.pytest.workers import Workers

_QUICK = 0.004  # seconds, that looking at all blocks may always take: ten times what it mostly does
_SHARE = 0.03  # of the time, that what it takes longer may


def start(config: pytest.Config, session: str | None) -> None:
    """Watch this process's tests.

    Args:
        config: pytest's.
        session: the session's directory, in its first process; None in a worker of pytest-xdist.

    Raises:
        UsageError: the library is not loaded.
    """
    if not hasattr(ctypes.CDLL(None), "patalloc_process_heap"):
        raise pytest.UsageError("patalloc: this Python is not reached by LD_PRELOAD")
    reports = Reports(own_directory())
    plugins: list[object] = [Watch(reports), Marked()]
    if session:
        directory = Path(session)
        plugins += [Record(config, Journal(directory)), Summary(directory), Workers(directory)]
        plugins.append(Succession(reports))
    for plugin in plugins:
        config.pluginmanager.register(plugin, f"patalloc-{type(plugin).__name__.lower()}")


class Heap:
    """The heap behind malloc in this process, and what looking at all its blocks takes."""

    def __init__(self) -> None:
        """Find it."""
        library = ctypes.CDLL(None)
        library.patalloc_process_heap.restype = ctypes.c_void_p
        self._heap = ctypes.c_void_p(library.patalloc_process_heap())
        self._check = library.patalloc_check
        self._check.restype = ctypes.c_size_t
        self._note = library.patalloc_process_note
        self._write_mappings = library.patalloc_process_mappings
        self._next = 0.0

    def note(self, test: str) -> None:
        """Have reports say that this was run, also of allocations and frees."""
        self._note(test.encode(errors="replace"))

    def write_mappings(self, path: Path) -> None:
        """Write what is mapped, and where the heap is, for patalloc.hunt.coverage to read."""
        self._write_mappings(os.fsencode(path))

    def may_check(self) -> bool:
        """Whether it was not done for so long that it takes little of the time."""
        return time.monotonic() >= self._next

    def check(self) -> bool:
        """Look at all blocks; whether there are errors."""
        begun = time.thread_time()
        found: int = self._check(self._heap)
        longer = max(time.thread_time() - begun - _QUICK, 0)
        self._next = time.monotonic() + longer / _SHARE
        return found > 0


class Watch:
    """Fails tests in which there are errors in the heap."""

    def __init__(self, reports: Reports) -> None:
        """Watch the process that these are the reports of."""
        self._pid = os.getpid()
        self._reports = reports
        self._heap = Heap()
        self._since = ""  # the first test behind which not all blocks were looked at
        self._is_last = False
        self._has_run = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """A test begins."""
        self._since = self._since or item.nodeid
        self._heap.note(item.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, nextitem: pytest.Item | None) -> None:
        """A test is about to end."""
        self._has_run, self._is_last = True, nextitem is None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Fail the phase in which something was found."""
        report = yield
        self._judge(report)
        if call.when == "teardown" and (self._is_last or self._heap.may_check()):
            if self._heap.check():
                since = self._since if self._since != report.nodeid else ""
                self._judge(report, since and f"in blocks that were last looked at before {since}:")
            self._since = ""
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Fail what is imported with errors."""
        report = yield
        self._judge(report)
        return report

    def _judge(self, report: pytest.TestReport | pytest.CollectReport, remark: str = "") -> None:
        found = self._reports.take() if os.getpid() == self._pid else []
        if found:
            failures.fail(report, found, self._reports.directory, remark)

    def pytest_sessionfinish(self) -> None:
        """Leave what is mapped, and which of it is the heap's, for the end of the session."""
        if self._has_run:
            self._heap.write_mappings(self._reports.directory / "mappings")
