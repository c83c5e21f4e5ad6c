"""Settings for all tests."""

import os

# The tests run on several processes; threads within each would only wait for one another.
# Set before numpy is imported.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
