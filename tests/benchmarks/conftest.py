"""`benchmarks` is run from the root of the checkout and is no part of the distribution."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)
