# 40-44
import sys

from bug_extension import fixed, numbers

print(fixed() if "fixed" in sys.argv else numbers())  # CULPRIT
