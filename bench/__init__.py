"""How fast this checkout is, as ratios to floors that are measured in the same run. No test is here.

`python -m frontdesk.bench.run`, or `make bench`; what it says of one machine is in ``docs/benchmarks.md``.
"""
