"""`python -m tests.faults --minutes 10 --seed N`: the long run, with its figures and an exit code."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.longrun.merge import merged
from tests.faults.longrun.plan import expanded
from tests.faults.longrun.run import LongRun, Options
from tests.faults.longrun.site import Site


def main() -> int:
    """0 = passed. On a failure the seed, the plan and the folder with all logs are printed, and the folder is kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, help="instead of --minutes")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--rate", type=float, default=150.0, help="operations per second of the writers")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs and data also when passed")
    parser.add_argument("--client", default="", help="kafka-python or confluent; the seed chooses when not given")
    parser.add_argument("--store", default="", help="redis or file; the seed chooses when not given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, for machines")
    parser.add_argument("--plan", type=int, metavar="N", help="only print the plan of the seed: its first N episodes")
    parser.add_argument("--merge", type=Path, nargs="+", metavar="FILE", help="only add up what --json wrote")
    parser.add_argument("--only", default="", help="names of faults, with commas between: 'kill sync,kafka reset'")
    options = parser.parse_args()
    only = [name.strip() for name in options.only.split(",") if name.strip()]
    if options.merge:
        print(merged(options.merge))
        return 0
    if options.plan is not None:
        print("\n".join(expanded(options.seed, options.plan, options.client, options.store, only)))
        return 0
    seconds = options.seconds if options.seconds is not None else options.minutes * 60
    folder = Path(tempfile.mkdtemp(prefix=f"cdc-faults-{options.seed}-"))
    folder.chmod(0o755)
    began = time.monotonic()
    asked = Options(options.seed, seconds, folder, options.rate, options.client, only, options.store)
    run = LongRun(asked, lambda line: print(line, flush=True))
    with Site(folder) as site:
        figures = run.run(site)
    print(f"\n{figures.table()}\n\n{time.monotonic() - began:.0f} s in all")
    if options.json is not None:
        plan = [str(episode) for episode in run.plan]
        options.json.write_text(json.dumps({**figures.to_json(), "plan": plan}, indent=1) + "\n")
    if figures.failures:
        print(run.explain())
        return 1
    if not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
