"""The hunt: which allocation's uninitialised bytes change what a program does."""

from patalloc.hunt.hunt import Culprit, Finding, Hunt, Verdict
from patalloc.hunt.runs import Behaviour, Output, Program, Runner
from patalloc.hunt.selection import Part
from patalloc.hunt.trace import Site, Trace

__all__ = [
    "Behaviour",
    "Culprit",
    "Finding",
    "Hunt",
    "Output",
    "Part",
    "Program",
    "Runner",
    "Site",
    "Trace",
    "Verdict",
]
