"""Measurements as people read them."""

import csv
import math
from io import StringIO
from typing import Any

from patalloc.lab.launcher import METRICS
from patalloc.lab.statistics import Comparison, Interval
from patalloc.lab.sweep import Results

TITLES = {"cpu": "CPU time", "wall": "wall time", "peak_rss": "peak RSS"}


def number(value: float, metric: str) -> str:
    """With its unit."""
    unit = METRICS[metric]
    if unit == "s":
        return f"{value:.3f} s" if value >= 1 else f"{value * 1000:.2f} ms"
    if unit == "B":
        return f"{value / (1 << 20):,.1f} MiB"
    return f"{value:,.0f}"


def percent(interval: Interval) -> str:
    """How much more or less than the baseline it is."""
    if math.isinf(interval.high):
        return f"{100 * (interval.median - 1):+.1f} % (? to ?)"
    ends = f"{100 * (interval.low - 1):+.1f} to {100 * (interval.high - 1):+.1f}"
    return f"{100 * (interval.median - 1):+.1f} % ({ends})"


def data(results: Results) -> dict[str, Any]:
    """What is known of each point, as JSON has it."""
    found: dict[str, Any] = {
        "version": 1,
        "baseline": results.baseline,
        "interrupted": results.interrupted,
        "left_out": dict(results.left_out),
        "points": {},
    }
    comparisons = {metric: results.comparisons(metric) for metric in results.metrics}
    for point in results.points:
        if point in results.left_out:
            continue
        told = {
            metric: _metric(results, point, metric, known.get(point))
            for metric, known in comparisons.items()
            if results.values(point, metric)
        }
        stats = next((each.stats for each in results.entries if each.point == point), {})
        found["points"][point] = told | ({"stats": dict(stats)} if stats else {})
    return found


def _metric(
    results: Results, point: str, metric: str, comparison: Comparison | None
) -> dict[str, Any]:
    typical = results.typical(point, metric)
    made: dict[str, Any] = {
        "median": typical.median,
        "interval": _finite(typical),
        "runs": len(results.values(point, metric)),
    }
    if comparison:
        made["ratio"] = {
            "median": comparison.interval.median,
            "interval": _finite(comparison.interval),
            "rounds": len(comparison.ratios),
            "chance": comparison.chance,
            "verdict": comparison.verdict.value,
            "rounds_needed": comparison.rounds_needed,
        }
    return made


def _finite(interval: Interval) -> list[float] | None:
    return None if math.isinf(interval.high) else [interval.low, interval.high]


def as_csv(results: Results) -> str:
    """A line a run, also of those that do not count."""
    text = StringIO()
    names = [*METRICS]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["round", "point", *names, "failure"])
    for entry in results.entries:
        values = [entry.metrics.get(name, "") for name in names]
        writer.writerow([entry.round, entry.point, *values, entry.failure])
    return text.getvalue()
