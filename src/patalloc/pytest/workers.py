"""Workers of pytest-xdist: each has its reports in a directory of its own."""

import os
from pathlib import Path
from typing import Any

import pytest

from patalloc.pytest import failures
from patalloc.pytest.files import Reports, own_directory, report_option


class Workers:
    """Gives each worker of pytest-xdist a directory, and tells what a dead one has reported."""

    def __init__(self, session: Path) -> None:
        """For those of the session with this directory."""
        self._session = session
        self._directories: dict[str, Path] = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self) -> None:
        """The first one is about to be started."""
        self._next()

    def _next(self) -> None:
        """Processes that are started from here on get these options."""
        options = os.environ["PATALLOC_OPTIONS"].split(":")
        others = [each for each in options if not each.startswith("report=")]
        report = f"report={report_option(self._session)}"
        os.environ["PATALLOC_OPTIONS"] = ":".join([*others, report])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_newgateway(self, gateway: Any) -> None:  # noqa: ANN401 (not typed)
        """A worker was started: the next one gets another directory."""
        self._directories[gateway.id] = own_directory()
        self._next()

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, report: Any) -> None:  # noqa: ANN401 (not typed)
        """A worker has died: its last reports are those of the death."""
        reports = Reports(self._directories[report.node.gateway.id])
        if found := reports.take():
            failures.fail(report, found, reports.directory)
