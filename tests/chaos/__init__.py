"""The real bot as a process, against a Discord that fails as the real one does.

``python -m tests.chaos --minutes 10 --seed 1``. The seed decides what members do and what fails,
in which order; the exact moments are the machine's.
"""
