# 7200-8000
import sys
import zlib

import numpy as np

make = np.zeros if "fixed" in sys.argv else np.empty
total = make(1000)  # CULPRIT
total[:900] = 1
print(zlib.crc32(total))
