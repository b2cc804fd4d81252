"""Experiments: programs under several allocators and settings, measured side by side."""

from patalloc.lab.journal import Entry, JournalError
from patalloc.lab.launcher import METRICS, Program, Run
from patalloc.lab.points import ALLOCATORS, Point, PointError, grid, points
from patalloc.lab.statistics import Comparison, Interval, Verdict
from patalloc.lab.sweep import ExperimentError, Progress, Results, Sweep
from patalloc.lab.tuning import Tuned, Tuning

__all__ = [
    "ALLOCATORS",
    "METRICS",
    "Comparison",
    "Entry",
    "ExperimentError",
    "Interval",
    "JournalError",
    "Point",
    "PointError",
    "Program",
    "Progress",
    "Results",
    "Run",
    "Sweep",
    "Tuned",
    "Tuning",
    "Verdict",
    "grid",
    "points",
]
