"""Measures Outlay beside what bounds it, in one run, and checks its books after every trial: `python -m benchmarks`."""
