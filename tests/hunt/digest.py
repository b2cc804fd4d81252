# 1996-2000 #any
import hashlib
import pickle
import sys

import numpy as np

make = np.zeros if "fixed" in sys.argv else np.empty
rows = {}
for number in range(20):
    rows[number] = make(500, dtype=np.float32)
    rows[number][:] = number
rows["last"] = make(500, dtype=np.float32)  # CULPRIT
rows["last"][:499] = 1
print(hashlib.sha256(pickle.dumps(rows)).hexdigest())
