"""patalloc: a heap whose memory comes already filled with a pattern, at almost no cost."""

from patalloc.config import Config
from patalloc.errors import OptionError, PreloadError
from patalloc.heap import (
    Block,
    BlockInfo,
    Heap,
    ProcessHeap,
    default_heap,
    free,
    malloc,
    process_heap,
)
from patalloc.stats import Stats

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
