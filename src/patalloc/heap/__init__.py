"""Heaps, for Python programs: their options, their blocks, their counters."""

from patalloc.heap.config import Config
from patalloc.heap.heap import (
    Block,
    BlockInfo,
    Heap,
    ProcessHeap,
    default_heap,
    free,
    malloc,
    process_heap,
)
from patalloc.heap.stats import Stats

__all__ = [
    "Block",
    "BlockInfo",
    "Config",
    "Heap",
    "ProcessHeap",
    "Stats",
    "default_heap",
    "free",
    "malloc",
    "process_heap",
]
