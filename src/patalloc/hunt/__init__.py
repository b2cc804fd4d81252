"""The hunt: which allocation's uninitialised bytes change what a program does."""

from patalloc.hunt.comparison import Comparison
from patalloc.hunt.hunt import Hunt
from patalloc.hunt.results import Chance, Culprit, Finding, Shares, Verdict
from patalloc.hunt.runs import Behaviour, Output, Program, Runner
from patalloc.hunt.selection import Part
from patalloc.hunt.trace import Site, Trace

__all__ = [
    "Behaviour",
    "Chance",
    "Comparison",
    "Culprit",
    "Finding",
    "Hunt",
    "Output",
    "Part",
    "Program",
    "Runner",
    "Shares",
    "Site",
    "Trace",
    "Verdict",
]
