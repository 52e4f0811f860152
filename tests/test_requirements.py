"""Every acceptance criterion is proved by a test that names it. This is the list, in this project's words."""

from __future__ import annotations

import ast
from pathlib import Path

REQUIREMENTS = {
    "R1.1": "inserts, updates, replaces and deletes are captured",
    "R1.2": "the watcher connects to MongoDB with the driver at start",
    "R1.3": "operation type and document of each event are extracted",
    "R1.4": "a failed change stream is opened again with exponential back-off",
    "R2.1": "after a message is published its resume token is saved",
    "R2.2": "a start loads the last token and resumes there",
    "R2.3": "without a token the stream starts now",
    "R2.4": "a failed save is logged and tried again",
    "R2.5": "tokens are kept in Redis or in a local file",
    "R3.1": "each event is published to Kafka",
    "R3.2": "the producer is asynchronous: no write to Kafka blocks the reader",
    "R3.3": "delivery is confirmed before the token is saved",
    "R3.4": "failed writes are retried with exponential back-off",
    "R3.5": "events are JSON",
    "R4.1": "the syncer connects to Kafka at start",
    "R4.2": "the syncer consumes continuously",
    "R4.3": "JSON is turned into structured types",
    "R4.4": "a message that cannot be processed is logged and the next ones are processed",
    "R4.5": "offsets are committed only after the PostgreSQL write",
    "R5.1": "messages are buffered until a flush condition",
    "R5.2": "a flush at batch.max_rows messages",
    "R5.3": "a flush when batch.max_wait has passed",
    "R5.4": "after a flush the buffer is empty and the offsets may be committed",
    "R5.5": "one batch statement for all buffered messages",
    "R6.1": "the number of workers is configured",
    "R6.2": "messages are distributed across the workers",
    "R6.3": "queues coordinate the work",
    "R6.4": "a worker that finishes gets the next available messages",
    "R6.5": "what the workers share is thread-safe",
    "R7.1": "the syncer connects to PostgreSQL at start",
    "R7.2": "a connection pool of 10 to 50",
    "R7.3": "prepared statements for small batches",
    "R7.4": "COPY above batch.copy_threshold",
    "R7.5": "an exhausted pool waits",
    "R8.1": "ON CONFLICT DO UPDATE",
    "R8.2": "a duplicate updates the row with the latest data",
    "R8.3": "a unique constraint on the key",
    "R8.4": "inserts and updates are told apart in the log",
    "R8.5": "the same messages any number of times give the same state",
    "R9.1": "SIGTERM and SIGINT stop the reading of the stream",
    "R9.2": "SIGTERM and SIGINT stop the consuming",
    "R9.3": "the syncer flushes what is buffered",
    "R9.4": "the watcher saves its token",
    "R9.5": "both log a confirmation and exit with 0",
    "R10.1": "structured logs in the watcher",
    "R10.2": "structured logs in the syncer",
    "R10.3": "with timestamp, service name, operation type",
    "R10.4": "levels debug, info, warn, error",
    "R10.5": "errors carry the stack trace and their context",
    "R11.1": "configuration from files",
    "R11.2": "configuration from the environment",
    "R11.3": "a proper configuration library",
    "R11.4": "a missing required value: an error in the log, a non-zero exit",
    "R11.5": "validation at start rejects what is invalid",
    "R12.1": "transient errors are retried with exponential back-off",
    "R12.2": "a maximum retry count",
    "R12.3": "beyond it a fatal log entry and an alert",
    "R12.4": "waiting before reconnecting after network errors",
    "R12.5": "retryable and other errors are told apart",
    "R13.1": "separate modules for configuration, logging, database, messaging",
    "R13.2": "interfaces between them",
    "R13.3": "dependency injection",
    "R13.4": "new functions extend interfaces",
    "R13.5": "strict typing",
}
TESTS = Path(__file__).parent


def named() -> set[str]:
    """The criteria in `@pytest.mark.requirement(...)` and `pytestmark`, read without importing anything."""
    found: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "requirement":
                found |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return found


def test_every_criterion_is_named_by_a_test() -> None:
    assert sorted(REQUIREMENTS.keys() - named()) == []


def test_no_test_names_a_criterion_that_does_not_exist() -> None:
    assert sorted(named() - REQUIREMENTS.keys()) == []
