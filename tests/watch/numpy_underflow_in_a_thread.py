# heap-buffer-underflow write before 1
import ctypes
import threading

import numpy as np

numbers = np.ones(1 << 17)


def underflow() -> None:
    ctypes.memset(numbers.ctypes.data - 1, 1, 1)  # ACCESS


thread = threading.Thread(target=underflow)
thread.start()
thread.join()
