"""Allocations in a C loop: experiments in Python that measure an allocator, and not Python."""

from collections.abc import Sequence

import attrs

from patalloc._core import ffi, lib
from patalloc.heap import Heap

_MOST_THREADS = 4096


@attrs.frozen
class Times:
    """What a loop took.

    Attributes:
        wall: seconds from its begin to its end.
        take: seconds in malloc; touch: in the stores; give: in free; of all threads together.
        blocks: how many there were; bytes: of them all; pages: that were written.
    """

    wall: float
    take: float
    touch: float
    give: float
    blocks: int
    bytes: int
    pages: int


def run(
    sizes: int | Sequence[int],
    *,
    live: int = 1,
    batches: int = 1000,
    density: float = 1.0,
    threads: int = 1,
    seed: int = 1,
    heap: Heap | None = None,
) -> Times:
    """Allocate, write, and free, in one call.

    Each thread takes `live` blocks, writes a byte in a share of their pages, gives them back, and
    does so `batches` times.

    Args:
        sizes: in bytes; of several each block has one by chance.
        live: blocks of a thread that live at a time.
        batches: how often.
        density: of a block's pages, how many are written, from 0 to 1, evenly spread.
        threads: how many do the same at a time.
        seed: of the sizes.
        heap: whose blocks they are; None for those of the process's malloc.

    Raises:
        ValueError: a number is out of its range.
        MemoryError: a block can't be had; those of its batch were given back.
        OSError: a thread can't be started.
    """
    chosen = [sizes] if isinstance(sizes, int) else [*sizes]
    if not chosen or min(chosen) < 0 or max(chosen) >= 1 << 63:
        raise ValueError(f"sizes {sizes}: must be from 0 to 2**63 - 1")
    if not 0 <= density <= 1:
        raise ValueError(f"density {density}: must be from 0 to 1")
    for name, value, most in (
        ("live", live, 1 << 40),
        ("batches", batches, 1 << 60),
        ("threads", threads, _MOST_THREADS),
    ):
        if not 1 <= value <= most:
            raise ValueError(f"{name} {value}: must be from 1 to {most:,}")
    numbers = ffi.new("size_t[]", chosen)
    plan = ffi.new(
        "struct raw_plan *",
        {
            "sizes": numbers,
            "sizes_count": len(chosen),
            "live": live,
            "batches": batches,
            "density": density,
            "threads": threads,
            "seed": seed % (1 << 64),
        },
    )
    if heap is not None:
        plan.heap = heap._handle()
        plan.take = ffi.cast("void *(*)(void *, size_t)", ffi.addressof(lib, "patalloc_malloc"))
        plan.give = ffi.cast("void (*)(void *, void *)", ffi.addressof(lib, "patalloc_free"))
    times = ffi.new("struct raw_times *")
    error = lib.raw_run(plan, times)
    if error == lib.ENOMEM:
        raise MemoryError(f"blocks of {max(chosen):,} bytes can't be had, {live:,} at a time")
    if error:
        raise OSError(error, f"{threads} threads can't be started")
    return Times(
        wall=times.wall * 1e-9,
        take=times.take * 1e-9,
        touch=times.touch * 1e-9,
        give=times.give * 1e-9,
        blocks=times.blocks,
        bytes=times.bytes,
        pages=times.pages,
    )
