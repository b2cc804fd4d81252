"""The exceptions that are patalloc's own; all else is Python's."""


class OptionError(ValueError):
    """An option has a bad name or value; the message says what is allowed."""


class PreloadError(RuntimeError):
    """This process does not run under libpatalloc.so, or cannot."""


class TraceError(ValueError):
    """A file that is no trace, or not one that can be read; the message says which, and why."""
