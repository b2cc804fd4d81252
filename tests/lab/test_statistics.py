"""What is said of runs is true of runs that were recorded: one program, one setting, 400 times."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patalloc.lab import Interval, Verdict
from patalloc.lab.statistics import compared, holm, sign_test

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())
DIFFERENT = {Verdict.BETTER, Verdict.WORSE}


def pairs(chance: random.Random, metric: str, rounds: int) -> list[float]:
    """Ratios of two that are the same, of runs one after the other."""
    runs: Sequence[float] = RECORDED[metric]
    start = chance.randrange(len(runs) - 2 * rounds + 1)
    ratios = []
    for at in range(start, start + 2 * rounds, 2):
        one, other = chance.sample(runs[at : at + 2], 2)
        ratios.append(one / other)
    return ratios


@pytest.mark.parametrize("metric", ["wall", "cpu"])
def test_a_point_compared_with_itself_seldom_differs(metric: str) -> None:
    chance = random.Random(1)
    tries = 1000
    said = sum(
        compared({"again": pairs(chance, metric, 40)})["again"].verdict in DIFFERENT
        for _ in range(tries)
    )
    assert 0.02 <= said / tries <= 0.08


def test_of_200_equal_points_none_differs() -> None:
    chance = random.Random(2)
    for _ in range(10):
        ratios = {str(number): pairs(chance, "cpu", 40) for number in range(200)}
        assert not any(each.verdict in DIFFERENT for each in compared(ratios).values())


def test_three_percent_more_are_found_within_40_rounds() -> None:
    chance = random.Random(3)
    found = [
        compared({"more": [1.03 * each for each in pairs(chance, "cpu", 40)]})["more"].verdict
        for _ in range(100)
    ]
    assert found.count(Verdict.WORSE) >= 90
    assert Verdict.BETTER not in found


@given(
    st.lists(st.floats(0.5, 2), min_size=6, max_size=60),
    st.sampled_from([0.9, 0.95, 0.99]),
)
def test_an_interval_has_the_median_in_it(values: list[float], level: float) -> None:
    interval = Interval.of(values, level)
    assert interval.low <= interval.median <= interval.high


def test_intervals_cover_as_often_as_they_say() -> None:
    chance = random.Random(4)
    for rounds in (6, 11, 40):
        covers = 0
        for _ in range(2000):
            interval = Interval.of([chance.expovariate(1) for _ in range(rounds)])
            covers += interval.low <= 0.6931 <= interval.high
        assert covers >= 0.945 * 2000


def test_few_values_have_no_interval() -> None:
    assert Interval.of([1, 1, 1, 1, 1]).high == float("inf")
    assert Interval.of([1, 1, 1, 1, 1, 1]).high == 1


def test_verdicts() -> None:
    near = [1 + 0.0001 * (each % 7 - 3) for each in range(40)]
    found = compared(
        {
            "same": near,
            "better": [0.9 * each for each in near],
            "worse": [1.1 * each for each in near],
            "wide": [0.8, 1.3] * 20,
            "few": [0.5] * 3,
        }
    )
    assert {name: each.verdict.value for name, each in found.items()} == {
        "same": "the same",
        "better": "better",
        "worse": "worse",
        "wide": "not known yet",
        "few": "not known yet",
    }
    assert found["same"].rounds_needed == 0
    assert found["wide"].rounds_needed > 100
    assert found["few"].rounds_needed == 5
    assert compared({"few": [0.5] * 3})["few"].rounds_needed == 3


def test_numbers_that_are_0_at_times() -> None:
    found = compared({"some": [0, 0, 1, 2, 3, 0, 5, 0], "none": [0] * 8})
    assert found["some"].rounds_needed == 0
    assert found["none"].verdict == Verdict.BETTER
    assert Interval.of([0] * 8).width == float("inf")


def test_of_many_points_more_rounds_are_needed() -> None:
    found = compared({str(number): [0.9] * 6 for number in range(40)})
    assert {each.rounds_needed for each in found.values()} == {5}


def test_holm() -> None:
    """The example of R's p.adjust."""
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.04, 0.001]) == pytest.approx([0.04, 0.002])


def test_signs() -> None:
    assert sign_test([1.1] * 6) == pytest.approx(2 / 64)
    assert sign_test([1.1, 0.9] * 5) == 1
    assert sign_test([1.0] * 9) == 1
