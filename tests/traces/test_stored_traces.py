"""The traces that come with the benchmarks."""

import json
from pathlib import Path

import pytest

from conftest import ROOT
from patalloc.lab.points import Point
from patalloc.traces import Trace
from patalloc.traces.replaying import replay

STORED = sorted((ROOT / "bench" / "traces").glob("*.trace"))


def test_there_are_five_small_ones() -> None:
    assert len(STORED) == 5
    assert sum(path.stat().st_size for path in STORED) < 1 << 20


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_traces(path: Path) -> None:
    """They are whole, say nothing of where they were made, and can be replayed."""
    assert path.stat().st_size < 300_000
    with Trace(path) as trace:
        assert trace.end
        assert trace.end["status"] == 0
        assert not trace.modules
        assert "/" not in json.dumps([trace.start, trace.end])
        (done,) = replay(trace, [Point.parse("glibc")], runs=1, timeout=100)
    assert done.peak > 0
