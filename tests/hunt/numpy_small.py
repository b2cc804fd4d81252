# 8-12 #any
import sys

import numpy as np


def moving_mean(values: list[float]) -> "np.ndarray":
    out = (np.zeros if "fixed" in sys.argv else np.empty)(3, dtype=np.float32)  # CULPRIT
    out[0], out[1] = values
    return out


kept = [np.ones(3, dtype=np.float32) for _ in range(50)]
del kept
print(moving_mean([1.0, 2.0]).tolist())
