"""A plugin of pytest's: with `pytest --patalloc` the tests run under the heap.

An error in the heap fails the test in which it happens. Here is only what every session of pytest
runs, so that those without the option import nothing more.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from patalloc import standard_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patalloc import Heap

_FLAG = "--patalloc"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    group = parser.getgroup("patalloc", "errors in the heap, of extensions and libraries")
    group.addoption(
        _FLAG,
        nargs="?",
        const="",
        metavar="OPTIONS",
        help="Run the tests under patalloc's heap: an error in it fails its test. With "
        "--patalloc=OPTIONS the heap has these options, as in PATALLOC_OPTIONS.",
    )
    group.addoption(
        f"{_FLAG}-diff",
        action="store_true",
        help="Run the tests twice, with two patterns in fresh memory: a test that does not do the "
        "same fails.",
    )
    group.addoption(
        f"{_FLAG}-hunt",
        action="store_true",
        help="The same, and have patalloc hunt find the allocation, for a few of these tests.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "patalloc(pattern=..., written=...): what fresh memory holds in this test, and how many "
        "bytes of blocks it may write, under pytest --patalloc.",
    )


@pytest.fixture
def patalloc_heap(request: pytest.FixtureRequest) -> "Iterator[Heap]":
    """A fresh patalloc.Heap, closed behind the test: errors in it fail the test."""
    yield from import_module("patalloc.pytest.fixture").heap_of(request)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> object:
    """Before pytest captures output, keep standard error for reports of a test's own heaps.

    And leave what is behind the bare option where it was: it is no value, but a file of tests.
    """
    standard_error.keep()
    if _FLAG in args:
        args[:] = [f"{_FLAG}=" if each == _FLAG else each for each in args]
        again = parser.parse_known_args(args)
        early_config.known_args_namespace.file_or_dir = again.file_or_dir
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run the session in a process under the library, and wait for it; or this is that process."""
    options: str | None = config.getoption("patalloc")
    is_diff = bool(config.getoption("patalloc_diff") or config.getoption("patalloc_hunt"))
    if options is None and not is_diff:
        return None
    is_worker = hasattr(config, "workerinput")
    session = os.environ.pop("PATALLOC_PYTEST", None)
    if is_worker or session:
        import_module("patalloc.pytest.watch").start(config, session)
        return None
    return int(import_module("patalloc.pytest.parent").run(config, options or "", is_diff=is_diff))
