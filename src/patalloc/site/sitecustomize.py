"""In Python programs: NumPy keeps no freed data for itself, and reports have Python's lines.

What CPython's own pool hands out holds the pattern, but in hunts, which do without it.

NumPy has a pool in front of malloc for arrays below 1,024 bytes, whose memory a hunt would see once
only. The functions of its default handler are replaced where they stand (NEP 49), as a handler that
is set by PyDataMem_SetHandler is a context variable, which threads do not inherit.

The lines are what faulthandler writes for a signal of the user's: that function is called, without
any signal, when there is something to report.

Python imports this by its name (site). It has to work in any version, without patalloc.
"""

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.abc import Loader
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_HERE = str(Path(__file__).parent)
_NAMES = ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath")
_FIRST = (1, 22)  # version with a handler
_DEFAULT_HANDLER = 306  # PyDataMem_DefaultHandler in the table of NumPy's C API
_ALLOCATOR = 128  # where the functions are in a PyDataMem_Handler: behind a name and a version


def _replace_functions(multiarray: ModuleType) -> None:
    version = sys.modules[multiarray.__name__.partition(".")[0] + ".version"].version
    if tuple(map(int, version.split(".")[:2])) < _FIRST:
        return  # it has a pool, and no handler
    import ctypes

    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = ctypes.cast(pointer_of(multiarray._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    handler = ctypes.py_object.from_address(table[_DEFAULT_HANDLER]).value
    place = pointer_of(handler, b"mem_handler") + _ALLOCATOR
    ours = ctypes.CDLL(None)
    functions = (ctypes.c_void_p * 5).from_address(place)
    for number, name in enumerate(("malloc", "calloc", "realloc", "free"), 1):
        function = getattr(ours, f"patalloc_numpy_{name}")
        functions[number] = ctypes.cast(function, ctypes.c_void_p).value


class _Loader(Loader):
    """Loads NumPy's core, and then replaces the functions."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> "ModuleType | None":
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        try:
            _replace_functions(module)
        except (AttributeError, KeyError, ValueError, TypeError) as error:
            sys.stderr.write(f"patalloc: numpy's pool is left in use: {error}\n")


class _Finder:
    """Finds NumPy's core before others do."""

    @staticmethod
    def find_spec(
        name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if name not in _NAMES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and isinstance(spec.loader, ExtensionFileLoader):  # NumPy 2's old name is none
            spec.loader = _Loader(spec.loader)
        return spec


class _Lines:
    """What a report asks for the lines of Python."""

    most = 8
    reader = -1
    writer = -1
    function: "int | None" = None

    @classmethod
    def start(cls) -> None:
        """In this process: a pipe of its own, out of the program's way."""
        import ctypes
        import faulthandler
        import fcntl
        import resource
        import signal

        library = ctypes.CDLL(None)
        high = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65536) * 15 // 16
        for each in (cls.reader, cls.writer):
            if each >= 0:  # the parent's
                with suppress(OSError):
                    os.close(each)
        ends = os.pipe()
        cls.reader, cls.writer = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, high) for end in ends)
        for each in ends:
            os.close(each)
        os.set_blocking(cls.reader, False)
        os.set_blocking(cls.writer, False)
        number = signal.SIGRTMAX
        before, ours = ctypes.create_string_buffer(256), ctypes.create_string_buffer(256)
        library.sigaction(number, None, before)
        faulthandler.register(number, file=cls.writer, all_threads=False)
        if not cls.function:  # in a child it is installed already
            library.sigaction(number, None, ours)
            library.sigaction(number, before, None)
            cls.function = ctypes.c_void_p.from_buffer(ours).value
        function = ctypes.c_void_p(cls.function)
        library.patalloc_python_lines(cls.most, function, number, cls.reader)

    @staticmethod
    def end() -> None:
        """As what is called will be gone."""
        import ctypes

        ctypes.CDLL(None).patalloc_python_lines(0, None, 0, -1)


def _restart_lines() -> None:
    """In a forked child."""
    try:
        _Lines.start()
    except OSError:
        _Lines.end()


def _prepare_reports() -> None:
    """Where they are asked for, and runs need not be alike as in a hunt."""
    options = os.environ.get("PATALLOC_OPTIONS", "")
    reports = re.search(r"(^|:)report=(?!no(:|$))", options)
    if not reports or re.search(r"(^|:)trace=[^:]", options):
        return
    import atexit
    import ctypes

    library = ctypes.CDLL(None)
    claim = getattr(library, "patalloc_python_claim", None)
    if claim is None or not claim():
        return  # the library is not in this process, or another interpreter has done so
    free_threaded = "t" in getattr(sys, "abiflags", "")  # where what was freed may still be read
    if "PYTHONMALLOC" not in os.environ and not free_threaded:
        library.patalloc_python_fill()
    _Lines.start()
    os.register_at_fork(after_in_child=_restart_lines)
    atexit.register(_Lines.end)


def _go_on() -> None:
    """To the program's own module of this name, as if this one had not been there."""
    sys.path[:] = [each for each in sys.path if each != _HERE]
    own = sys.modules.pop(__name__)
    try:
        __import__(__name__)
    except ImportError as error:
        if error.name != __name__:
            raise
    sys.modules.setdefault(__name__, own)


sys.meta_path.insert(0, _Finder)
try:
    _prepare_reports()
except Exception as error:
    if sys.stderr:
        sys.stderr.write(f"patalloc: reports are without Python's lines: {error}\n")
finally:
    _go_on()
