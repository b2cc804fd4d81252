"""patalloc: a heap whose memory comes already filled with a pattern, at almost no cost."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from patalloc.errors import OptionError, PreloadError
from patalloc.heap import (
    Block,
    BlockInfo,
    Config,
    Heap,
    ProcessHeap,
    Stats,
    default_heap,
    free,
    malloc,
    process_heap,
)

if TYPE_CHECKING:
    from patalloc.watch import events as events
    from patalloc.watch import symbols as symbols
else:

    def __getattr__(name: str) -> ModuleType:
        """The modules `events` and `symbols`, which are loaded when they are asked for."""
        if name in ("events", "symbols"):
            return import_module(f"patalloc.watch.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
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
    "malloc",
    "process_heap",
]
