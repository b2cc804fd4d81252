"""patalloc: a heap whose memory comes already filled with a pattern, at almost no cost."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from patalloc.errors import OptionError as OptionError
    from patalloc.errors import PreloadError as PreloadError
    from patalloc.errors import TraceError as TraceError
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
        recording,
    )
    from patalloc.watch import events as events
    from patalloc.watch import symbols as symbols

    __version__: str
else:

    def __getattr__(name: str) -> Any:  # noqa: ANN401
        """What is loaded when it is asked for: all, as pytest imports this for each session."""
        if name == "__version__":
            return str(import_module("importlib.metadata").version("patalloc"))
        if name in ("events", "symbols"):
            return import_module(f"patalloc.watch.{name}")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        errors = name in ("OptionError", "PreloadError", "TraceError")
        value = getattr(import_module("patalloc.errors" if errors else "patalloc.heap"), name)
        globals()[name] = value
        return value


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
    "TraceError",
    "default_heap",
    "free",
    "fresh",
    "malloc",
    "note",
    "process_heap",
    "recording",
]
