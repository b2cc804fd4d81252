"""Heaps, for Python programs: their options, their blocks, their counters."""

from patalloc.heap.config import PRESETS, Config
from patalloc.heap.heap import (
    Block,
    BlockInfo,
    Heap,
    ProcessHeap,
    default_heap,
    free,
    fresh,
    malloc,
    note,
    process_heap,
    recording,
)
from patalloc.heap.stats import Stats

__all__ = [
    "PRESETS",
    "Block",
    "BlockInfo",
    "Config",
    "Heap",
    "ProcessHeap",
    "Stats",
    "default_heap",
    "free",
    "fresh",
    "malloc",
    "note",
    "process_heap",
    "recording",
]
