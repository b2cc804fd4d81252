"""patalloc: a heap whose memory comes already filled with a pattern, at almost no cost."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from patalloc.errors import OptionError, PreloadError
from patalloc.heap import (
    PRESETS,
    Block,
    BlockInfo,
    Config,
    Heap,
    ProcessHeap,
    Stats,
    default_heap,
    free,
    fresh,
    malloc,
    note,
    process_heap,
)

if TYPE_CHECKING:
    from patalloc.watch import events as events
    from patalloc.watch import symbols as symbols

    __version__: str
else:

    def __getattr__(name: str) -> ModuleType | str:
        """What is loaded when it is asked for: the modules `events` and `symbols`, the version."""
        if name == "__version__":
            return str(import_module("importlib.metadata").version("patalloc"))
        if name in ("events", "symbols"):
            return import_module(f"patalloc.watch.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "PRESETS",
    "Block",
    "BlockInfo",
    "Config",
    "Heap",
    "OptionError",
    "PreloadError",
    "ProcessHeap",
    "Stats",
    "default_heap",
    "free",
    "fresh",
    "malloc",
    "note",
    "process_heap",
]
