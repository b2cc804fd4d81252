"""In Python programs that are hunted: NumPy keeps no freed data for itself.

It has a pool in front of malloc for arrays below 1,024 bytes, whose memory a hunt would see once
only. The functions of its default handler are replaced where they stand (NEP 49), as a handler that
is set by PyDataMem_SetHandler is a context variable, which threads do not inherit.

Python imports this by its name (site). It has to work in any version, without patalloc.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
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
        if spec and spec.loader:
            spec.loader = _Loader(spec.loader)
        return spec


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
_go_on()
