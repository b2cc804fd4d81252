"""Traces: all that a program asks of malloc, in a file (docs/traces.md)."""

from patalloc.traces.file import Event, Kind, Summary, Trace, is_trace

__all__ = ["Event", "Kind", "Summary", "Trace", "is_trace"]
