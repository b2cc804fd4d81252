"""Allocations in a loop."""

import pytest

from patalloc import Heap, raw


def test_what_is_done() -> None:
    times = raw.run(1_000_000, live=4, batches=10, density=0.5, threads=2)
    assert times.blocks == 80
    assert times.bytes == 80_000_000
    assert 0.49 <= times.pages / (80 * 245) <= 0.51
    assert times.take > 0
    assert times.touch > 0
    assert times.give > 0
    assert times.take + times.touch + times.give < 2 * times.wall


def test_blocks_of_a_heap() -> None:
    with Heap(count=True) as heap:
        times = raw.run([200_000, 300_000], batches=50, heap=heap, density=0)
        assert times.pages == 0
        assert heap.stats().blocks == 50
        assert heap.stats().blocks_live == 0
        again = raw.run([200_000, 300_000], batches=50, heap=heap)
        assert again.bytes == times.bytes
        assert again.pages == pytest.approx(again.bytes / 4096, rel=0.01)


def test_memory_that_is_not_there() -> None:
    with pytest.raises(MemoryError, match="can't be had"):
        raw.run(1 << 62)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sizes": []},
        {"sizes": -1},
        {"sizes": 1, "density": 1.5},
        {"sizes": 1, "live": 0},
        {"sizes": 1, "batches": -1},
        {"sizes": 1, "threads": 10**6},
    ],
)
def test_numbers_out_of_their_range(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        raw.run(**wrong)
