# 0-48
import sys

import numpy as np

x = np.array([-1.0, 4.0, -9.0, 16.0, 25.0, -36.0] * 40)
out = np.zeros(240) if "fixed" in sys.argv else None
roots = np.sqrt(x, where=x > 0, out=out)  # CULPRIT
print(roots.tobytes()[:48].hex())
