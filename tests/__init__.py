"""The tests. Examples of a property may take as long as a busy machine needs."""

import os

from hypothesis import settings

# Read when torch is imported, here and in engine processes: the tests' tensors are so small that
# a second thread only waits for the first.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("patient", deadline=None)
# For hours of examples, none of them kept: tests/fuzz.py.
settings.register_profile("fuzz", deadline=None, max_examples=2000, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "patient"))
