"""fill=auto: which pages free keeps, and what the next block gets."""

import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from patalloc import Block, Config, Heap

PAGE = 4096
PAGES = 1000
SIZE = PAGES * PAGE


def write(block: Block, pages: Iterable[int]) -> None:
    with memoryview(block) as view:
        for page in pages:
            view[page * PAGE] = 1


def cycles(heap: Heap, count: int, pages: Iterable[int], size: int = SIZE) -> None:
    pages = list(pages)
    for _ in range(count):
        with heap.malloc(size) as block:
            assert bytes(block) == b"\xab" * size
            write(block, pages)


def dirty_when_fresh(heap: Heap) -> int:
    with heap.malloc(SIZE) as block:
        info = block.info
        assert info is not None
        assert info.dirty_pages is not None
        dirty = info.dirty_pages
        write(block, range(dirty))  # as before, so that nothing new is learnt
        return dirty


@pytest.mark.parametrize("written", [1, 10, 500, 1000])
def test_the_pages_that_are_written_are_kept(written: int) -> None:
    with Heap() as heap:
        cycles(heap, 5, range(written))
        assert dirty_when_fresh(heap) == written
        stats = heap.stats()
        assert stats.frees_kept >= 5
        assert stats.blocks_kept >= 4
        assert stats.bytes_retained == written * PAGE


def test_scattered_pages_are_found_and_rewritten() -> None:
    """In a process of its own: where there are other threads they are not searched for."""
    code = (
        "import test_retain as t, patalloc\n"
        "heap = patalloc.Heap()\n"
        "t.cycles(heap, 10, range(5, t.PAGES, 20))\n"
        "assert t.dirty_when_fresh(heap) == len(range(5, t.PAGES, 20))\n"
        "assert heap.stats().frees_scanned >= 5\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=True)


def test_other_threads_see_no_descriptor() -> None:
    """What is written is found by reading then, and just from the front."""
    with Heap() as heap, ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        cycles(heap, 10, range(5, PAGES, 20))
        cycles(heap, 10, range(500))
        assert dirty_when_fresh(heap) == 500
        assert heap.stats().frees_scanned == 0


@pytest.mark.parametrize("without", ["proc", "pagemap_scan"])
def test_without_what_finds_pages(without: str) -> None:
    with Heap(without=without) as heap:
        cycles(heap, 10, range(5, PAGES, 20))
        cycles(heap, 10, range(500))
        stats = heap.stats()
        assert stats.frees_scanned == 0
        assert stats.frees_kept > 0


def test_it_adapts_when_the_program_changes() -> None:
    with Heap() as heap:
        cycles(heap, 5, range(PAGES))
        assert dirty_when_fresh(heap) == PAGES
        cycles(heap, 20, range(10))
        assert dirty_when_fresh(heap) < PAGES // 4
        cycles(heap, 40, range(PAGES))
        assert dirty_when_fresh(heap) == PAGES


@pytest.mark.parametrize("without", ["none", "populate", "huge_pages", "populate,huge_pages"])
def test_dense_blocks_on_fresh_memory_are_filled_beforehand(without: str) -> None:
    with Heap(without=without, retain_size=0) as heap:
        cycles(heap, 3, range(PAGES))
        with heap.malloc(SIZE) as block:
            assert block.info is not None
            assert (block.info.fill, block.info.dirty_pages) == ("memset", PAGES)
            assert bytes(block) == b"\xab" * SIZE
            assert block.address % 16 == 0
        stats = heap.stats()
        assert stats.blocks_dense >= 1
        assert stats.bytes_retained == 0


def test_reset_is_what_refpage_fill_does() -> None:
    with Heap(fill="refpage") as heap:
        cycles(heap, 5, range(500))
        assert dirty_when_fresh(heap) == 0
        assert heap.stats().frees_reset == 6


def test_the_budget() -> None:
    with Heap(retain_size=100 * PAGE) as heap:
        cycles(heap, 5, range(500))
        assert heap.stats().bytes_retained == 0
        cycles(heap, 5, range(50), size=SIZE // 2)
        assert heap.stats().bytes_retained == 50 * PAGE


def test_no_more_is_kept_than_the_program_once_used() -> None:
    """Memory kept for one size makes way when blocks of another would add to it."""
    with Heap() as heap:
        cycles(heap, 5, range(PAGES))
        assert heap.stats().bytes_retained == SIZE
        with heap.malloc(SIZE * 2 // 3) as other:
            assert heap.stats().bytes_retained == 0
            write(other, [0])


@pytest.mark.parametrize("frees", ["small", "large"])
def test_kept_memory_is_let_go_of(frees: str) -> None:
    with Heap(release_interval=50) as heap:
        cycles(heap, 5, range(PAGES))
        assert heap.stats().bytes_retained == SIZE
        time.sleep(0.2)
        for _ in range(600):
            heap.malloc(100 if frees == "small" else 200_000).free()
        assert heap.stats().bytes_retained <= 49 * PAGE


def test_release_lets_go_at_once() -> None:
    with Heap() as heap:
        cycles(heap, 5, range(PAGES))
        heap.release()
        assert heap.stats().bytes_retained == 0
        cycles(heap, 1, range(PAGES))


def test_growing_dense_blocks() -> None:
    with Heap() as heap:
        block, size = heap.malloc(1 << 20), 1 << 20
        while size < 40 << 20:
            with memoryview(block) as view:
                view[-1] = 1
            block, before, size = heap.realloc(block, size + (1 << 20)), size, size + (1 << 20)
            with memoryview(block) as view:
                assert view[before - 1] == 1
                assert bytes(view[before:]) == b"\xab" * (1 << 20)
        stats = heap.stats()
        assert stats.reallocs_in_place > 30
        assert stats.reallocs_copied <= 2


def test_zeroed_blocks_are_kept_too() -> None:
    with Heap() as heap:
        for _ in range(5):
            with heap.calloc(1, SIZE) as block:
                assert bytes(block) == bytes(SIZE)
                write(block, range(300))
        assert heap.stats().bytes_retained == 300 * PAGE


@pytest.mark.parametrize("retain_size", [0, 64 << 20])
def test_without_a_pattern_freed_data_does_not_come_back(retain_size: int) -> None:
    with Heap(pattern="none", retain_size=retain_size) as heap:
        for _ in range(20):
            with heap.malloc(SIZE) as block, memoryview(block) as view:
                assert bytes(view) == bytes(SIZE)
                view[:] = b"\x11" * SIZE


def test_config_presets_auto() -> None:
    assert Config().fill == "auto"


def small_frees(heap: Heap, count: int) -> None:
    for _ in range(count):
        heap.malloc(100).free()


def test_memory_of_a_size_that_does_not_come_again_is_not_kept() -> None:
    with Heap() as heap:
        cycles(heap, 1, range(PAGES))
        assert heap.stats().bytes_retained == SIZE
        small_frees(heap, 512)
        assert heap.stats().bytes_retained == 0
        cycles(heap, 2, range(PAGES))
        small_frees(heap, 512)
        assert heap.stats().bytes_retained == SIZE


def test_a_large_block_is_kept_when_its_size_comes_again() -> None:
    with Heap() as heap:
        for frees_kept in (0, 1, 2):
            with heap.malloc(65 << 20) as block:
                write(block, range(20))
            assert heap.stats().frees_kept == frees_kept


@pytest.mark.parametrize(("without", "dirty"), [("none", 500), ("populate", 0)])
def test_pages_that_will_be_written_are_made_by_one_call(without: str, dirty: int) -> None:
    with Heap(without=without, retain_size=0) as heap:
        cycles(heap, 3, range(500))
        assert dirty_when_fresh(heap) == dirty


def test_a_longer_file_is_made_when_it_pays() -> None:
    size, mappings = 8 << 20, []  # mappings of all heaps of this process
    with Heap(pattern=0x77) as heap:  # whose files no other heap has paid for
        for _ in range(1000):
            with heap.malloc(size) as block, memoryview(block) as view:
                assert (view[0], view[size // 2], view[-1]) == (0x77, 0x77, 0x77)
                view[0] = 1
            mappings.append(heap.stats().vmas)
        assert mappings[-1] <= mappings[10] - 8


def test_what_a_heap_kept_is_forgotten_with_it() -> None:
    """Later heaps have blocks in the same places, several of which are set up at a time."""
    size, count = 300_000, 120
    for _ in range(3):
        with Heap(pattern=0x66) as heap:
            for _ in range(4):
                blocks = [heap.malloc(size) for _ in range(count)]
                for block in blocks:
                    write(block, [0])
                for block in blocks:
                    block.free()
            assert heap.stats().bytes_retained > 0
            heap.release()
            assert heap.stats().bytes_retained == 0
            blocks = [heap.malloc(size) for _ in range(count)]
            for block in blocks:
                write(block, [0])
                block.free()


def churn(heap: Heap, rounds: int, sizes: Iterable[int]) -> None:
    for _ in range(rounds):
        for pages in sizes:
            with heap.malloc(pages * PAGE) as block:
                assert bytes(block) == b"\xab" * (pages * PAGE)
                write(block, [0, pages // 2])


def test_sparse_blocks_wait_for_requests_of_their_size() -> None:
    with Heap() as heap:
        churn(heap, 20, range(40, 60))
        stats = heap.stats()
        assert stats.blocks_kept > stats.blocks * 0.8
        assert 0 < stats.bytes_retained <= 20 * 2 * PAGE


def test_what_is_kept_whatever_the_peak_is_a_mebibyte() -> None:
    with Heap() as heap:
        churn(heap, 5, range(40, 400))
        stats = heap.stats()
        assert 1 << 18 < stats.bytes_retained <= 1 << 20
        assert heap.release() <= 128 << 20  # 64 MiB of freed blocks wait, in runs
