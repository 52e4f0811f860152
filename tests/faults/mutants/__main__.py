"""`python -m tests.faults.mutants [NAME ...]`: puts every bug back in, and prints who caught it and how fast."""

from __future__ import annotations

import logging
import sys

from tests.faults.mutants.catalogue import MUTANTS
from tests.faults.mutants.hunt import hunt


def main() -> int:
    logging.disable(logging.CRITICAL)
    wanted = [mutant for mutant in MUTANTS if not sys.argv[1:] or mutant.name in sys.argv[1:]]
    survivors = 0
    for mutant in wanted:
        verdict = hunt(mutant)
        survivors += not verdict.killed_by
        print(f"{verdict.mutant:36} {verdict.seconds:6.1f} s  {verdict.killed_by or 'SURVIVED'}", flush=True)
    print(f"{len(wanted) - survivors} of {len(wanted)} mutants killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
