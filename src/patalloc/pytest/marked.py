"""Tests with the marker `patalloc`: another pattern, and how much they may write."""

from collections.abc import Generator
from typing import Any

import pytest

import patalloc
from patalloc.pytest import failures, marker
from patalloc.pytest.measurement import Measurement, size

_Wrapper = Generator[None, object, object]


class Marked:
    """Does for the test that runs what its marker says, and undoes it."""

    def __init__(self) -> None:
        """For tests of this process."""
        self._said = marker.Marker()
        self._heap: Any = None  # the process's; it takes long to load what knows it
        self._pattern = ""  # that is to be again
        self._exceeded: dict[str, str] = {}  # what is to be shown

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Have fresh memory hold the test's pattern, for its fixtures as well."""
        self._said = marker.Marker()
        if item.get_closest_marker(marker.NAME):
            said = marker.marker_of(item)
            self._heap = self._heap or patalloc.process_heap()
            if said.pattern:
                self._change(said.pattern)
            self._said = said

    def _change(self, pattern: str) -> None:
        before = self._heap.config.pattern
        try:
            self._heap.configure(pattern=pattern)
        except patalloc.OptionError as error:
            marker.refuse(error)
        self._pattern = before

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> _Wrapper:
        """Set the pattern back, when the fixtures are torn down."""
        try:
            return (yield)
        finally:
            if self._pattern:
                self._heap.configure(pattern=self._pattern)
                self._pattern = ""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> _Wrapper:
        """Measure what the test writes, without its fixtures."""
        if self._said.written is None:
            return (yield)
        measurement = Measurement(self._heap)
        try:
            return (yield)
        finally:
            self._judge(measurement, self._said.written)

    def _judge(self, measurement: Measurement, allowed: int) -> None:
        written = measurement.end()
        if written is None:
            text = "what is written can't be told here: /proc/self/pagemap is not to be read"
        elif written > allowed:
            text = f"{size(written)} of blocks were written, and {size(allowed)} are allowed"
        else:
            return
        self._exceeded = {"text": text, "message": text, "section": measurement.memory()}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Fail a test that has written more."""
        report = yield
        exceeded, self._exceeded = self._exceeded, {}
        if exceeded:
            failures.show_failure(report, **exceeded)
        return report
