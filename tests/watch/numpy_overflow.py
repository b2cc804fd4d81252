# heap-buffer-overflow write after 1
import ctypes

import numpy as np


def overflow(array: np.ndarray) -> None:
    ctypes.memset(array.ctypes.data + array.nbytes, 1, 1)  # ACCESS


array = np.ones(1 << 17)
overflow(array)
