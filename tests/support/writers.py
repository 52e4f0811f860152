"""Writers on a real PostgreSQL, put together as the wiring does it, and a look at what they wrote."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Any

import psycopg2

from cdc_cli.apply import Applied
from cdc_cli.apply.claims import Claims
from cdc_cli.apply.fence import Fence
from cdc_cli.apply.ledger import PostgresLedger
from cdc_cli.apply.merge import OnDelete
from cdc_cli.apply.pool import ConnectionPool
from cdc_cli.apply.postgres import PostgresApplier
from cdc_cli.apply.schema import CdcSchema
from cdc_cli.apply.session import Connector, Session
from cdc_cli.apply.tables import TargetTables
from cdc_cli.consume import Partition

GROUP = "group"
PARTITIONS = frozenset(Partition("topic", number) for number in range(3))


class Site:
    """A database with the schema `cdc`, and any number of writers on it. Use `close()`."""

    def __init__(
        self, dsn: str, schema: str = "public", maximum: int = 8, statement_timeout: float = 20.0
    ) -> None:
        self.dsn = dsn
        self.schema = schema
        connect = Connector(dsn, "test", schema, statement_timeout)
        self.pool: ConnectionPool[Session] = ConnectionPool(connect, 1, maximum, 10.0)
        self.claims: defaultdict[str, Claims] = defaultdict(Claims)
        self.schema_cdc = CdcSchema(self.pool)
        self.schema_cdc.ensure()

    def ledger(self, owner: str = "owner", forget: Callable[[], None] = lambda: None) -> PostgresLedger:
        return PostgresLedger(self.pool, GROUP, owner, self.claims[owner], self.schema_cdc.ensure, forget)

    def claim(self, owner: str = "owner", partitions: Collection[Partition] = PARTITIONS) -> None:
        self.ledger(owner).claim(partitions)

    def applier(
        self,
        owner: str = "owner",
        *,
        exclusive: bool = False,
        on_delete: OnDelete = "delete",
        copy_threshold: int = 100,
        database: str | None = "game",
        max_writes: int = 8,
    ) -> PostgresApplier:
        tables = TargetTables(self.pool, self.schema, database, soft=on_delete == "soft")
        fence = Fence(GROUP, owner, exclusive, self.claims[owner])
        return PostgresApplier(
            self.pool, tables, fence, on_delete=on_delete, copy_threshold=copy_threshold, max_writes=max_writes
        )

    def query(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """Run SQL on a connection of its own, as an administrator would."""
        connection = psycopg2.connect(self.dsn)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql, args or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def close(self) -> None:
        self.pool.close()


def total(applied: Applied) -> int:
    """All counts together; must be the number of changes that were given."""
    counted = applied.stale + applied.merged + applied.ignored + len(applied.rejected)
    return applied.rows + counted
