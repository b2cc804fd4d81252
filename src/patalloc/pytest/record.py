"""The journal of a session's first process, by which another one goes on when it dies."""

import os
from typing import Any
from warnings import WarningMessage

import pytest

from patalloc.pytest import failures
from patalloc.pytest.files import Journal


def _report_of_death(item: pytest.Item, phase: str, events: int, **shown: str) -> pytest.TestReport:
    report = pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome="failed",
        longrepr=None,
        when=phase,  # type: ignore[arg-type]  # one of its names
    )
    failures.show_failure(report, **shown)
    report.__dict__["patalloc"] = events
    return report


class Record:
    """Keeps the journal, and tells again what came of the tests that another process has run."""

    def __init__(self, config: pytest.Config, journal: Journal) -> None:
        """Go on with this journal."""
        self._config = config
        self._journal = journal
        self._pid = os.getpid()
        self._running = self._last = ""
        self._report: dict[str, object] = {}  # the last one, which is noted with what comes next

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Run what is not in the journal."""
        if item.nodeid not in self._journal.reports:
            self._running = self._last = item.nodeid
            return None
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for warning in self._journal.warnings.get(item.nodeid, ()):
            self._warn_again(item.nodeid, **warning)
        for report in self._reports_of(item):
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _reports_of(self, item: pytest.Item) -> list[pytest.TestReport]:
        """What came of it then."""
        read = self._config.hook.pytest_report_from_serializable
        known = self._journal.reports.pop(item.nodeid)
        reports = [read(config=self._config, data=data) for data in known]
        if died := self._journal.died.get(item.nodeid):
            reports.append(_report_of_death(item, **died))
        if differs := self._journal.differs.get(item.nodeid):
            ran = [each for each in reports if each.when == "call"]
            failures.show_failure((ran or reports)[-1], **differs)
        return reports

    def _warn_again(self, nodeid: str, category: str, message: str, **at: Any) -> None:  # noqa: ANN401
        kind: type[Warning] = type(category, (Warning,), {"__module__": "builtins"})
        warning = WarningMessage(kind(message), kind, at["file"], at["line"])
        told = {"warning_message": warning, "when": "runtest", "nodeid": nodeid, "location": None}
        self._config.hook.pytest_warning_recorded.call_historic(kwargs=told)

    def pytest_warning_recorded(self, warning_message: WarningMessage, nodeid: str) -> None:
        """Note a test's warning, which comes when the test is over."""
        if nodeid and nodeid == self._last and os.getpid() == self._pid:
            category, message = warning_message.category.__name__, str(warning_message.message)
            place = {"file": warning_message.filename, "line": warning_message.lineno}
            warning = {"category": category, "message": message, **place}
            self._journal.write(nodeid, warning=warning)

    def _note(self, **entry: object) -> None:
        if self._running and os.getpid() == self._pid:
            self._journal.write(self._running, **self._report, **entry)
            self._report = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Note the phase."""
        self._note(phase="setup")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        """Note the phase."""
        self._note(phase="call")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self) -> None:
        """Note the phase."""
        self._note(phase="teardown")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Have it noted what came of a phase."""
        if self._running:
            if self._report:
                self._note()
            data = self._config.hook.pytest_report_to_serializable(
                config=self._config, report=report
            )
            self._report = {"report": data}

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        """Note that the test is over."""
        self._note(finished=True)
        self._running = ""
