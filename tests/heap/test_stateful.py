"""The heap against a model: what every block must hold, whatever was done before."""

import random
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from conftest import FALLBACKS
from patalloc import Block, Config, Heap

THRESHOLD = 131072
SIZES = st.one_of(
    st.integers(0, 4000),
    st.integers(131072 - 50, 131072 + 50),
    st.integers(1, 400).map(lambda pages: pages * 4096),
    st.integers(131072, 3_000_000),
)


class HeapMachine(RuleBasedStateMachine):
    config = Config()
    blocks = Bundle("blocks")

    def __init__(self) -> None:
        super().__init__()
        self.heap = Heap(self.config)
        self.live: dict[Block, bytearray] = {}
        self.aligned: set[Block] = set()  # at alignments that make blocks of small requests, too

    def hold(self, block: Block, content: bytearray) -> Block:
        assert bytes(block) == content
        assert block.usable_size >= len(content)
        assert block.address % 16 == 0
        self.live[block] = content
        return block

    @rule(target=blocks, size=SIZES)
    def malloc(self, size: int) -> Block:
        return self.hold(self.heap.malloc(size), bytearray(b"\xab") * size)

    @rule(target=blocks, size=SIZES)
    def calloc(self, size: int) -> Block:
        return self.hold(self.heap.calloc(1, size), bytearray(size))

    @rule(target=blocks, size=SIZES, exponent=st.integers(4, 22))
    def aligned_alloc(self, size: int, exponent: int) -> Block:
        block = self.heap.aligned_alloc(1 << exponent, size)
        assert block.address % (1 << exponent) == 0
        if 1 << exponent >= THRESHOLD:
            self.aligned.add(block)
        return self.hold(block, bytearray(b"\xab") * size)

    @rule(block=blocks, seed=st.integers(0, 2**32))
    def write(self, block: Block, seed: int) -> None:
        content, chance = self.live[block], random.Random(seed)
        if not content:
            return
        start = chance.randrange(len(content))
        written = chance.randbytes(min(chance.choice([1, 5000, 10**6]), len(content) - start))
        content[start : start + len(written)] = written
        with memoryview(block) as view:
            view[start : start + len(written)] = written

    @rule(target=blocks, block=consumes(blocks), size=SIZES)
    def realloc(self, block: Block, size: int) -> Block:
        content = self.live.pop(block)
        size = max(size, 1)
        kept = content[:size]
        return self.hold(self.heap.realloc(block, size), kept + b"\xab" * (size - len(kept)))

    @rule(block=consumes(blocks))
    def free(self, block: Block) -> None:
        assert bytes(block) == self.live.pop(block)
        block.free()

    @rule()
    def release(self) -> None:
        self.heap.release()

    @invariant()
    def counts(self) -> None:
        guards = self.config.guard_small != "0"  # small ones beyond a page become blocks, too
        large = [
            max(len(content), 1)
            for block, content in self.live.items()
            if len(content) >= THRESHOLD
            or block in self.aligned
            or (guards and block.info is not None)
        ]
        if self.config.guard_small == "all":
            assert all(block.info for block, content in self.live.items() if len(content) > 4096)
        stats = self.heap.stats()
        assert (stats.blocks_live, stats.bytes_live) == (len(large), sum(large))

    @invariant()
    def blocks_lie_apart(self) -> None:
        ends = sorted((block.address, block.address + block.usable_size) for block in self.live)
        assert all(end <= start for (_, end), (start, _) in pairwise(ends))

    def teardown(self) -> None:
        for block, content in self.live.items():
            assert bytes(block) == content
        self.heap.close()


@pytest.mark.parametrize("options", ["", "cache_size=4M", *FALLBACKS])
def test_heap_against_model(options: str) -> None:
    machine = type("Machine", (HeapMachine,), {"config": Config.parse(options)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
