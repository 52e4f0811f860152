"""The invariants as pure functions: a recorded history in, a list of violations out.

All of them judge every moment of the history, not only its end: a durable state that was ahead for an instant is a
violation, because a crash could have come in that instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from tests.faults.history import (
    Acked,
    Appended,
    Buried,
    Changed,
    Counted,
    History,
    Missing,
    OffsetCommitted,
    OffsetStored,
    Overdue,
    Place,
    Resumed,
    Rewound,
    TokenSaved,
    Unbounded,
    Written,
)


class Violation(NamedTuple):
    """Which invariant, where in the history (its index), and what is wrong as a sentence."""

    invariant: str
    at: int
    what: str


def final_state(history: History) -> list[Violation]:
    """I1: after drain every row equals its document; what differs is exactly what is planted, and buried."""
    changes, rows = _changes(history), _rows(history)
    buried = _buried_positions(history)
    end = len(history)
    found: list[Violation] = []
    latest: dict[str, Changed] = {change.document: change for change in changes}
    for document, change in latest.items():
        state = rows[document][1] if document in rows else None
        if state != change.state and change.position not in buried:
            found.append(Violation("I1", end, f"{document} is {state!r} in PostgreSQL and {change.state!r} in MongoDB"))
    for document, (_, state) in rows.items():
        if document not in latest and state is not None:
            found.append(Violation("I1", end, f"{document} is a row that never was a document"))
    by_position = {change.position: change for change in changes}
    for position in sorted(buried):
        if position not in by_position:
            found.append(Violation("I1", end, f"a dead letter at {position} is no change"))
        elif not _may_be_buried(by_position[position], changes):
            found.append(Violation("I1", end, f"the good change at {position} was dead-lettered"))
    return found


def _may_be_buried(change: Changed, changes: Iterable[Changed]) -> bool:
    """An update carries the document as it is when it is looked up, so a later planted change poisons earlier ones."""
    return any(c.planted and c.document == change.document and c.index >= change.index for c in changes)


def nothing_lost(history: History) -> list[Violation]:
    """I2: after drain every acknowledged change is in PostgreSQL, superseded there by a later one, or buried."""
    buried = _buried_positions(history)
    highest: dict[str, str] = {}
    for item in history:
        if isinstance(item, Written):
            highest[item.document] = max(highest.get(item.document, ""), item.position)
        elif isinstance(item, Rewound):
            highest = {document: position for document, (position, _) in item.rows.items()}
    return [
        Violation("I2", len(history), f"the change {c.index} of {c.document} at {c.position} is lost")
        for c in _changes(history)
        if highest.get(c.document, "") < c.position and c.position not in buried
    ]


def rows_never_go_back(history: History) -> list[Violation]:
    """I3: per document the written position only grows; after a delete only a later change brings it back."""
    found: list[Violation] = []
    last: dict[str, str] = {}
    for at, item in enumerate(history):
        if isinstance(item, Rewound):
            last = {document: position for document, (position, _) in item.rows.items()}
        elif isinstance(item, Written):
            before = last.get(item.document, "")
            if item.position < before:
                found.append(Violation("I3", at, f"{item.document} went back from {before} to {item.position}"))
            last[item.document] = max(before, item.position)
    return found


def token_never_ahead(history: History) -> list[Violation]:
    """I4: when a token is saved, Kafka has acknowledged every change that it skips."""
    found: list[Violation] = []
    unacknowledged: dict[str, int] = {}
    acknowledged: set[str] = set()
    for at, item in enumerate(history):
        if isinstance(item, Changed):
            if item.position not in acknowledged:
                unacknowledged[item.position] = item.index
        elif isinstance(item, Acked):
            acknowledged.add(item.position)
            unacknowledged.pop(item.position, None)
        elif isinstance(item, TokenSaved):
            ahead = sorted(index for index in unacknowledged.values() if index <= item.index)
            if ahead:
                what = f"the token skips {len(ahead)} changes that Kafka has not acknowledged, the first is {ahead[0]}"
                found.append(Violation("I4", at, what))
    return found


def offsets_never_ahead(history: History) -> list[Violation]:
    """I5: before a stored offset everything is written or buried; Kafka is never told more than is stored (or was,
    before PostgreSQL went back: nobody can know that at once, and Kafka's offset is not trusted).
    """
    found: list[Violation] = []
    rows: dict[str, str] = {}
    judged: dict[Place, int] = {}  # how far each partition has been stored already
    once: dict[Place, int] = {}  # the same before the database went back
    log: dict[Place, list[Appended]] = {}
    buried: set[object] = set()  # positions, and places with offsets for what has none
    gone = {item.position for item in history if isinstance(item, Missing)}
    for at, item in enumerate(history):
        if isinstance(item, Appended):
            log.setdefault(item.place, []).append(item)
        elif isinstance(item, Buried):
            buried.add((item.place, item.offset))
            if item.place is not None and item.offset is not None:
                # A repeat of the same change in one batch is merged with it and shares its dead letter.
                buried.add(log[item.place][item.offset].position)
        elif isinstance(item, Written):
            rows[item.document] = max(rows.get(item.document, ""), item.position)
        elif isinstance(item, Rewound):
            rows = {document: position for document, (position, _) in item.rows.items()}
            once = {place: max(once.get(place, 0), offset) for place, offset in {**once, **judged}.items()}
            judged = dict(item.offsets)
        elif isinstance(item, OffsetStored):
            begin = judged.get(item.place, 0)
            for record in log.get(item.place, [])[begin : item.offset]:
                if (record.place, record.offset) in buried or record.position in gone or record.position in buried:
                    continue
                if record.document is None or rows.get(record.document, "") < (record.position or ""):
                    what = f"the offset {item.offset} of {item.place} passes {record.offset} ({record.document} at "
                    found.append(Violation("I5", at, what + f"{record.position}), which is neither written nor buried"))
            judged[item.place] = max(begin, item.offset)
        elif isinstance(item, OffsetCommitted):
            known = max(judged.get(item.place, 0), once.get(item.place, 0))
            if item.offset <= known:
                continue
            what = f"Kafka was told {item.offset} of {item.place}, PostgreSQL knows {known}"
            found.append(Violation("I5", at, what))
    return found


def log_in_order(history: History) -> list[Violation]:
    """I6: per document no change overtakes an earlier one; repeats begin after the token the watcher started from.

    A change that goes to the dead letters the first time, and is found in order the second time because its document
    is looked up anew, has no place in that order.
    """
    found: list[Violation] = []
    by_position = {change.position: change for change in _changes(history)}
    started: dict[int, int] = {}
    highest: dict[str, int] = {}
    seen: dict[str, set[int]] = {}
    keys: dict[tuple[str, bytes | None], str] = {}
    expected: dict[str, list[int]] = {}
    for change in by_position.values():
        expected.setdefault(change.document, []).append(change.index)
    buried = _buried_positions(history)
    for at, item in enumerate(history):
        if isinstance(item, Resumed):
            started[item.life] = item.index
        elif isinstance(item, Appended) and item.document is not None:
            found += _one_document_per_key(at, item, keys)
            record = by_position.get(item.position or "")
            if record is None or record.document != item.document:
                found.append(Violation("I6", at, f"a record of {item.document} at {item.position} is no change"))
                continue
            known = seen.setdefault(item.document, set())
            if record.index in known:
                if record.index <= started.get(item.life, -1):
                    found.append(Violation("I6", at, f"change {record.index} repeated from before the token"))
            elif record.index < highest.get(item.document, -1) and not _may_be_buried(record, by_position.values()):
                what = f"change {record.index} of {item.document} stands behind change {highest[item.document]}"
                found.append(Violation("I6", at, what))
            known.add(record.index)
            highest[item.document] = max(highest.get(item.document, -1), record.index)
    skipped = {c.index: c for c in by_position.values() if c.position not in buried}
    for document, indices in expected.items():
        for index in indices:
            if index < highest.get(document, -1) and index in skipped and index not in seen.get(document, set()):
                found.append(Violation("I6", len(history), f"change {index} of {document} was skipped in Kafka"))
    return found


def _one_document_per_key(at: int, item: Appended, keys: dict[tuple[str, bytes | None], str]) -> list[Violation]:
    assert item.document is not None
    owner = keys.setdefault((item.place[0], item.key), item.document)
    if owner == item.document:
        return []
    return [Violation("I6", at, f"{owner} and {item.document} share the key {item.key!r}")]


def bounded(history: History) -> list[Violation]:
    """I7: what is recorded as over its cap."""
    return [
        Violation("I7", at, f"{item.what}: {item.amount}, the cap is {item.cap}")
        for at, item in enumerate(history)
        if isinstance(item, Unbounded)
    ]


def lively(history: History) -> list[Violation]:
    """I8: what is recorded as overdue."""
    return [
        Violation("I8", at, f"{item.what} (waited {item.seconds:.0f} s)")
        for at, item in enumerate(history)
        if isinstance(item, Overdue)
    ]


WATCH, SYNC = "watch", "sync"


def conservation(history: History) -> list[Violation]:
    """I9: by the product's own counters, everything that came in went out, was given up, or is under way."""
    found: list[Violation] = []
    for at, item in enumerate(history):
        if not isinstance(item, Counted):
            continue
        inward, outward = _balance(item.service, item.counters)
        if inward != outward:
            what = f"{item.service} {item.life}: {inward} came in, {outward} are accounted for: {dict(item.counters)}"
            found.append(Violation("I9", at, what))
    return found


_OUTWARD: Mapping[str, tuple[str, ...]] = {
    WATCH: ("published", "replayed", "in_flight"),
    SYNC: ("inserted", "updated", "deleted", "stale", "merged", "ignored", "dead_lettered", "dropped", "buffered"),
}  # fmt: skip
_INWARD: Mapping[str, str] = {WATCH: "read", SYNC: "consumed"}


def _balance(service: str, counters: Mapping[str, int]) -> tuple[int, int]:
    return counters[_INWARD[service]], sum(counters.get(name, 0) for name in _OUTWARD[service])


Checker = Callable[[History], list[Violation]]
SAFETY: Mapping[str, Checker] = {
    "I3": rows_never_go_back,
    "I4": token_never_ahead,
    "I5": offsets_never_ahead,
    "I6": log_in_order,
    "I7": bounded,
    "I9": conservation,
}
"""Hold at every moment, whatever has failed."""
AFTER_DRAIN: Mapping[str, Checker] = {"I1": final_state, "I2": nothing_lost, "I8": lively}
"""Hold once the faults are over and everything has been read."""


def judge(history: History, drained: bool = True) -> list[Violation]:
    """All violations, in the order of the history; without `drained` only what holds at every moment."""
    checkers = {**SAFETY, **(AFTER_DRAIN if drained else {})}
    found = [violation for check in checkers.values() for violation in check(history)]
    return sorted(found, key=lambda violation: (violation.at, violation.invariant))


def _changes(history: History) -> list[Changed]:
    return [item for item in history if isinstance(item, Changed)]


def _rows(history: History) -> dict[str, tuple[str, str | None]]:
    rows: dict[str, tuple[str, str | None]] = {}
    for item in history:
        if isinstance(item, Rewound):
            rows = dict(item.rows)
        elif isinstance(item, Written):
            rows[item.document] = (item.position, item.state)
    return rows


def _buried_positions(history: History) -> set[str]:
    """Positions of all buried changes, whether their record was named or their place in a topic."""
    places = {(i.place, i.offset): i.position for i in history if isinstance(i, Appended) and i.position is not None}
    named = {i.position for i in history if isinstance(i, Buried) and i.position is not None}
    found = {places.get((i.place, i.offset)) for i in history if isinstance(i, Buried) and i.place is not None}
    return named | {position for position in found if position is not None}
