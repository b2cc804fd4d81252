"""What is told of errors in a heap: as data here, as text and with symbols in the modules.

The modules `symbols` and `rendering` are not imported here, as the library that reads symbols takes
long to load.
"""

from patalloc.watch.events import Event, HeapBlock, Module, Moment, Register, read

__all__ = ["Event", "HeapBlock", "Module", "Moment", "Register", "read"]
