"""The end of a process that may soon make no more reports, so that another one goes on."""

import os
import sys

import pytest

from patalloc.pytest.files import GOES_ON, REPORTS_MOST, Reports

_ENOUGH = REPORTS_MOST // 2  # so that the next test has as many
_REASON = f"patalloc: {_ENOUGH} reports were made in this process"


class Succession:
    """Ends the process behind a test, as pytest would if it was told to stop.

    That is in a session's first process; workers of pytest-xdist can't be replaced so.
    """

    def __init__(self, reports: Reports) -> None:
        """For the process that these are the reports of."""
        self._reports = reports
        self._is_last = self._is_due = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """A test begins."""
        self._session, self._is_last = item.session, nextitem is None

    def pytest_runtest_logreport(self) -> None:
        """Behind the call at best: then what modules and the session have set up is torn down."""
        if self._reports.own >= _ENOUGH and not self._is_last:
            self._session.shouldstop = _REASON

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """That is how pytest stops."""
        self._is_due = isinstance(excinfo.value, pytest.Session.Interrupted) and (
            str(excinfo.value) == _REASON
        )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """End here: the last process tells what came of all tests."""
        if self._is_due:
            sys.stdout.flush()
            os._exit(GOES_ON)
