"""The command line: many seeds of one scenario, or one seed again; prints what failed and how to replay it."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.simulation.report import Report
from tests.simulation.scenarios import SCENARIOS, run

_ENOUGH = 200
"""Seeds, in which each kind of fault must have happened."""


def main() -> int:
    """0 when all passed, 1 when a seed failed."""
    options = _options()
    names = [options.scenario] if options.scenario else [name for name, found in SCENARIOS.items() if not found.heavy]
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.seeds)
    failed = sum(_many(name, seeds, options.seed is not None, options.stop) for name in names)
    return 1 if failed else 0


def _many(name: str, seeds: range | list[int], aloud: bool, stop: bool) -> int:
    began, failed, slowest = time.monotonic(), 0, 0.0
    fired: Counter[str] = Counter()
    for done, seed in enumerate(seeds, 1):
        report: Report = run(name, seed)
        slowest = max(slowest, report.figures.get("settled_s", 0.0))
        if aloud or not report.passed:
            print(report, flush=True)
        failed += not report.passed
        fired.update(report.fired)
        if failed and stop:
            break
        if done % 50 == 0:
            print(f"{name}: {done} seeds, {failed} failed, {time.monotonic() - began:.0f} s", flush=True)
    if not aloud:
        print(f"{name}: faults: " + ", ".join(f"{kind} {count}" for kind, count in sorted(fired.items())))
    never = SCENARIOS[name].faults - set(fired) if done >= _ENOUGH else set()
    if never:
        print(f"{name}: in {done} seeds these faults never happened: {', '.join(sorted(never))}")
    print(f"{name}: {done} seeds, {failed} failed; slowest to settle {slowest:.1f} s; {time.monotonic() - began:.0f} s")
    return failed + len(never)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), help="only this one; default: all that are quick")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seed", type=int, help="only this seed, with all it has to say")
    parser.add_argument("--stop", action="store_true", help="stop at the first failure")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
