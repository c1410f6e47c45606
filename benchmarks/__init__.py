"""Measures meshcache against its own targets: ``python -m benchmarks``, or ``make bench``.

Not a test suite: a figure that is missed is printed as missed and nothing fails. Real servers in processes of their
own, real TLS clients, loopback only. docs/performance.md says how each figure is taken.
"""
