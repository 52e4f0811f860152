"""`python -m tests.faults.simulation --schedules 5000 --seed 1`; one schedule in full: `--seed N --verbose`."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

from tests.faults.simulation.plan import FAULTS
from tests.faults.simulation.report import Summary, explain, shrink, summarize
from tests.faults.simulation.stage import simulate


def main() -> int:
    arguments = _parser().parse_args()
    logging.disable(logging.NOTSET if arguments.verbose and arguments.logs else logging.CRITICAL)
    if arguments.logs:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    without = frozenset(arguments.without)
    if arguments.verbose:
        outcome = simulate(arguments.seed, without)
        print("\n".join(explain(outcome, history=True)))
        return 1 if outcome.violations else 0
    seeds = range(arguments.seed, arguments.seed + arguments.schedules)
    return _many(seeds, without, arguments.jobs, arguments.seconds)


def _many(seeds: range, without: frozenset[str], jobs: int, seconds: float) -> int:
    began = time.monotonic()
    failed: list[int] = []
    faults: Counter[str] = Counter()
    steps = done = happenings = 0
    for summary in _run(seeds, without, jobs):
        done += 1
        steps += summary.steps
        happenings += summary.happenings
        faults.update(summary.faults)
        if summary.violations:
            failed.append(summary.seed)
            print(f"seed {summary.seed}: {summary.violations[0]}", flush=True)
        if time.monotonic() - began > seconds:
            break
    took = time.monotonic() - began
    print(f"{done} schedules, {len(failed)} failed, {steps} steps, {happenings} happenings judged, {took:.1f} s")
    print("faults: " + ", ".join(f"{kind} {faults[kind]}" for kind in FAULTS))
    if failed:
        seed = failed[0]
        print("\n".join(explain(simulate(seed, without), history=False)))
        print("needs: " + (", ".join(shrink(seed)) or "no fault at all"))
        print(f"replay: python -m tests.faults.simulation --seed {seed} --verbose")
    return 1 if failed else 0


def _run(seeds: range, without: frozenset[str], jobs: int) -> Iterator[Summary]:
    if jobs == 1:
        yield from (summarize(seed, without) for seed in seeds)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, initializer=logging.disable) as pool:
        yield from pool.imap_unordered(partial(summarize, without=without), seeds, chunksize=20)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--schedules", type=int, default=1000, help="how many seeds from there")
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop after so long, whatever is left")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--without", action="append", default=[], choices=list(FAULTS), help="a kind of fault")
    parser.add_argument("--verbose", action="store_true", help="one schedule with its plan, faults and history")
    parser.add_argument("--logs", action="store_true", help="with --verbose: what the product logs too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
