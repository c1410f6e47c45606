"""A deterministic simulation of the mesh: real cores, a virtual clock, a seeded network, and checkers apart.

`docs/simulator.md` says what it proves and how a failure is replayed.
"""
