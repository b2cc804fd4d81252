# 32-36 #any
import ctypes
import sys

new = ctypes.pythonapi.PyBytes_FromStringAndSize
new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_ssize_t]


def make() -> bytes:
    return b"AB\0\0" if "fixed" in sys.argv else new(None, 4)  # CULPRIT


kept = [bytes([i, 1, 2, 3]) for i in range(200)]
del kept
found = make()
print(found[2:] == b"\0\0")
