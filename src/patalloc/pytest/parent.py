"""The part of the plugin in the process that was started: it has another one run the tests."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from patalloc.errors import OptionError
from patalloc.heap import Config
from patalloc.pytest.options import DEFAULTS
from patalloc.pytest.session import Session, say


def run(config: pytest.Config, options: str, *, is_diff: bool) -> int:
    """Run the session in a process under the library, and go on in another where that one dies.

    Args:
        config: pytest's.
        options: the heap's, besides the defaults.
        is_diff: whether to run it with two patterns, and to compare.

    Returns:
        The exit status of the session.
    """
    try:
        heap = _heap(options)
    except OptionError as error:
        raise pytest.UsageError(f"--patalloc: {error}") from None
    if any(not isinstance(each, str) for each in config.invocation_params.plugins or ()):
        say("plugins that are objects stay behind: the tests run in another process")
    _suspend_capture(config)
    with TemporaryDirectory(prefix="patalloc-") as directory:
        if is_diff:
            from patalloc.pytest import diff  # the hunt takes long to import

            return diff.run(config, heap, Path(directory))
        return Session(config, heap, Path(directory)).run()


def _heap(options: str) -> Config:
    inherited = os.environ.get("PATALLOC_OPTIONS")
    return Config.parse(":".join(filter(None, [DEFAULTS, inherited, options])))


def _suspend_capture(config: pytest.Config) -> None:
    """The process gets the streams that this one was started with."""
    manager = config.pluginmanager.getplugin("capturemanager")
    if manager:
        manager.suspend_global_capture(in_=True)
