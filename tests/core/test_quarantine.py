"""on_free: what becomes of freed blocks, and when a quarantine lets go of them."""

import ctypes
import os
import subprocess
import sys

import pytest

from patalloc import Heap

SIZE = 1_000_000  # a block with a run of its own
SMALL = 140_000  # one that shares a run, once there are some
PAGE = 4096
libc = ctypes.CDLL(None)


def readable(address: int) -> bool:
    """Whether the kernel can read the byte, asked without touching it."""
    ours, theirs = os.pipe()
    wrote = libc.write(theirs, ctypes.c_void_p(address), 1)
    os.close(ours)
    os.close(theirs)
    return bool(wrote == 1)


def pages_up(size: int) -> int:
    return -(-size // PAGE) * PAGE


@pytest.mark.parametrize("without", ["none", "guard_regions", "mremap_dontunmap,guard_regions"])
@pytest.mark.parametrize("size", [SMALL, SIZE])
def test_freed_blocks_are_inaccessible_until_pushed_out(size: int, without: str) -> None:
    with Heap(on_free="quarantine", quarantine_blocks=8, without=without) as heap:
        blocks = [heap.malloc(size) for _ in range(24)]
        addresses = [block.address for block in blocks]
        for block in blocks:
            with memoryview(block) as view:
                view[:] = b"x" * size
            block.free()
        for address in addresses[-8:]:
            assert not readable(address)
            assert not readable(address + size // 2)
            assert not readable(address + size - 1)
        stats = heap.stats()
        assert (stats.bytes_quarantined, stats.frees) == (8 * pages_up(size), 24)
        assert stats.frees_reset == 24 - 8  # those that were pushed out
        for _ in range(24):
            assert bytes(heap.malloc(size)) == b"\xab" * size


def test_the_budget_is_address_space() -> None:
    with Heap(on_free="quarantine", quarantine_size="10M") as heap:
        for _ in range(30):
            heap.malloc(SIZE).free()
        assert 10 * 2**20 - pages_up(SIZE) < heap.stats().bytes_quarantined <= 10 * 2**20
        heap.malloc(20 * 2**20).free()  # pushes out all, and itself
        assert heap.stats().bytes_quarantined == 0


def test_a_huge_block_takes_no_memory() -> None:
    with Heap(on_free="quarantine", quarantine_size="2T") as heap:
        before = page_tables()
        block = heap.malloc(1 << 40)
        address = block.address
        block.free()
        assert not readable(address + (1 << 39))
        assert page_tables() <= before + 1000
        assert heap.stats().bytes_quarantined == 1 << 40


def page_tables() -> int:
    """KiB of them."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmPTE"))


def test_blocks_that_realloc_moves_go_there_too() -> None:
    with Heap(on_free="quarantine") as heap:
        blocks = [heap.malloc(SIZE) for _ in range(4)]
        address = blocks[0].address
        moved = heap.realloc(blocks[0], 50 * SIZE)
        assert moved.address != address
        assert not readable(address)
        assert heap.stats().bytes_quarantined == pages_up(SIZE)


def test_quarantine_begins_and_ends_at_run_time() -> None:
    with Heap() as heap:
        heap.malloc(SIZE).free()
        assert heap.stats().bytes_quarantined == 0
        heap.configure(on_free="quarantine")
        block = heap.malloc(SIZE)
        address = block.address
        block.free()
        assert not readable(address)
        heap.configure(quarantine_blocks=0)
        heap.malloc(SIZE).free()
        assert heap.stats().bytes_quarantined == 0
        heap.configure(on_free="retain", quarantine_blocks=10)
        heap.malloc(SIZE).free()
        assert heap.stats().bytes_quarantined == 0


def test_a_small_region_is_not_used_up() -> None:
    """In a process of its own, as the first heap makes the region."""
    code = f"""
import patalloc
heap = patalloc.Heap(on_free="quarantine", reserve="64M")
for _ in range(200):
    heap.malloc({SIZE}).free()
print(heap.stats().bytes_quarantined)
"""
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 8 << 20 < int(result.stdout) <= 16 << 20


def test_reset_keeps_no_pages() -> None:
    with Heap(on_free="reset") as heap:
        for _ in range(5):
            with heap.malloc(SIZE) as block, memoryview(block) as view:
                view[:] = b"x" * SIZE
        with heap.malloc(SIZE) as block:
            assert bytes(block) == b"\xab" * SIZE
            assert block.info
            assert block.info.dirty_pages == 0
        assert (heap.stats().frees_kept, heap.stats().bytes_retained) == (0, 0)


def test_a_quarantine_that_is_not_wanted_any_more_drains() -> None:
    with Heap(on_free="quarantine") as heap:
        for _ in range(20):
            heap.malloc(1 << 20).free()
        assert heap.stats().bytes_quarantined >= 20 << 20
        heap.configure(on_free="retain")
        assert heap.stats().bytes_quarantined == 0
