# 0-8#1 2300-2304#2
import sys

import numpy as np

make = np.zeros if "fixed" in sys.argv else np.empty


def first() -> float:
    row = make(300)  # CULPRIT
    row[1:] = 2
    return float(row.sum())


def second() -> int:
    table = make((20, 30), dtype=np.int32)  # CULPRIT
    table[:19] = 5
    return int(table[-1, 5])


print("first", first())
print("second", second())
