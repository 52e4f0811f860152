"""An audit trail inside PostgreSQL: every write of a row or of a tombstone, in the order in which it took effect.

The sequence number is taken while the row is locked, so that per document it gives the order of the commits; what
was rolled back is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.faults.history import Written
from tests.faults.invariants import Violation, rows_never_go_back
from tests.support.rows import query

_SET_UP = """
CREATE SCHEMA audit;
CREATE TABLE audit.trail (seq bigserial PRIMARY KEY, name text, _id text, _id_type text, position text, what text);
CREATE FUNCTION audit.note_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'DELETE' THEN
    INSERT INTO audit.trail (name, _id, _id_type, position, what)
    VALUES (TG_TABLE_NAME, OLD._id, OLD._id_type, OLD.cdc_position, 'removed');
  ELSE
    INSERT INTO audit.trail (name, _id, _id_type, position, what)
    VALUES (TG_TABLE_NAME, NEW._id, NEW._id_type, NEW.cdc_position, 'written');
  END IF; RETURN NULL; END $$;
CREATE FUNCTION audit.note_tombstone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO audit.trail (name, _id, _id_type, position, what)
  SELECT t.table_name, NEW._id, NEW._id_type, NEW.position, 'buried' FROM cdc.tables t WHERE t.id = NEW.table_id;
  RETURN NULL; END $$;
CREATE FUNCTION audit.attach() RETURNS event_trigger LANGUAGE plpgsql AS $$ DECLARE made record; BEGIN
  FOR made IN SELECT objid, schema_name, object_identity FROM pg_event_trigger_ddl_commands()
               WHERE object_type = 'table' LOOP
    IF made.schema_name = 'public' THEN
      EXECUTE format('CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW
                      EXECUTE FUNCTION audit.note_row()', made.object_identity);
    ELSIF made.object_identity = 'cdc.tombstones' THEN
      EXECUTE 'CREATE TRIGGER audit AFTER INSERT OR UPDATE ON cdc.tombstones
               FOR EACH ROW EXECUTE FUNCTION audit.note_tombstone()';
    END IF;
  END LOOP; END $$;
CREATE EVENT TRIGGER audit ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION audit.attach();
"""


def install(dsn: str) -> None:
    """To be called before the pipeline makes its tables."""
    query(dsn, _SET_UP)


def trail(dsn: str) -> list[tuple[str, str, str]]:
    """Every write so far: document, position, and `written`, `buried` or `removed` (with the row's own position)."""
    rows = query(dsn, "SELECT name, _id, _id_type, position, what FROM audit.trail ORDER BY seq")
    return [(f"{name} {id_} {kind}", position, what) for name, id_, kind, position, what in rows]


def effects(noted: Iterable[tuple[str, str, str]]) -> list[Written]:
    """What each write made of its document.

    A tombstone that is older than its row changes nothing: of a delete and a later insert that came in one batch
    only the insert is written, and when the delete comes again alone, it leaves its tombstone then. It must not
    remove the row; a row that is removed has the state that its tombstone tells.
    """
    found: list[Written] = []
    newest: dict[str, str] = {}
    tombstones: dict[str, str] = {}
    for document, position, what in noted:
        if what == "removed":
            found.append(Written(document, tombstones.get(document, ""), None))
            continue
        if what == "buried":
            tombstones[document] = position
        if what == "written" or position > newest.get(document, ""):
            found.append(Written(document, position, None if what == "buried" else ""))
        newest[document] = max(position, newest.get(document, ""))
    return found


def regressions(dsn: str) -> tuple[int, list[Violation]]:
    """How many writes there were, and those that went back (I3)."""
    written = effects(trail(dsn))
    return len(written), rows_never_go_back(written)
