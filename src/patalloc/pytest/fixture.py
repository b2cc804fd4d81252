"""The fixture `patalloc_heap`: a heap of a test's own."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import attrs
import pytest

from patalloc.heap import Config, Heap
from patalloc.pytest.files import plural
from patalloc.pytest.marker import marker_of
from patalloc.pytest.options import DEFAULTS


def _config(test: pytest.Item, *, is_watched: bool) -> Config:
    """Reports go where the process's go, if that is watched; else a fault ends the process."""
    if is_watched:
        inherited = Config.parse(os.environ["PATALLOC_OPTIONS"])
        config = attrs.evolve(inherited, stats="", trace="", select="", guard_sites="")
    else:
        config = attrs.evolve(Config.parse(DEFAULTS), on_fault="die")
    pattern = marker_of(test).pattern
    return attrs.evolve(config, pattern=pattern) if pattern else config


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def heap_of(request: pytest.FixtureRequest) -> Iterator[Heap]:
    """A fresh heap for the test that asks for it, which it fails for errors."""
    is_watched = request.config.pluginmanager.hasplugin("patalloc-watch")
    heap = Heap(_config(request.node, is_watched=is_watched))
    reports = Path(heap.config.report.replace("%p", str(os.getpid())))
    before = _size(reports)
    yield heap
    with suppress(BufferError):  # a test that failed has kept its views
        heap.clear()
    heap.check()
    errors = heap.stats().errors
    with suppress(BufferError):
        heap.close()
    if errors and _size(reports) == before:  # nor have others had reports go to that file
        pytest.fail(f"{plural(errors, 'error')} in patalloc_heap, told on standard error", False)
