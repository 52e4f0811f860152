"""Every mutant, and who has to catch it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from tests.faults.mutants import statements, syncing, watching

_APPLIER = "tests/contract/test_applier.py"
_DIRECT = "tests/integration/test_postgres_direct.py"


class Mutant(NamedTuple):
    """A bug. `test` names the fast test that catches it where the simulation does not get so deep; `seed` is where the
    hunt begins, for bugs that few schedules meet.
    """

    name: str
    apply: Callable[[], AbstractContextManager[None]]
    test: str = ""
    seed: int = 1


MUTANTS = (
    Mutant("token on read", watching.token_on_read),
    Mutant("token of the last ack", watching.token_of_last_ack),
    Mutant("post-batch token past unacked", watching.post_batch_token_past_unacked),
    Mutant("failure is an ack", watching.failure_is_an_ack),
    Mutant("flush is an ack", watching.flush_is_an_ack),
    Mutant("replay from last read", watching.replay_from_last_read),
    Mutant("dead letters after FATAL", watching.dead_letter_after_fatal),
    Mutant("fatal producer kept", watching.fatal_producer_kept),
    Mutant("start now without token", watching.start_now_without_token),
    Mutant("clusterTime-only position", watching.cluster_time_only),
    Mutant("str(_id) as Kafka key", watching.text_of_id_as_kafka_key),
    Mutant("bad change skipped", watching.bad_change_skipped),
    Mutant("silence unnoticed", watching.silence_unnoticed),
    Mutant("no bound in flight", watching.no_bound_in_flight),
    Mutant("one attempt to reopen", watching.one_attempt_to_reopen),
    Mutant("first start moves", watching.first_start_moves, seed=1100),
    Mutant("polled offsets committed", syncing.polled_offsets_committed),
    Mutant("offset before apply", syncing.offset_before_apply),
    Mutant("last done offset committed", syncing.last_done_committed),
    Mutant("batch dropped on one bad row", syncing.batch_dropped_on_one_bad_row),
    Mutant("bad record skipped", syncing.bad_record_skipped),
    Mutant("dead letter not awaited", syncing.dead_letter_not_awaited),
    Mutant("failed write passed over", syncing.failed_write_passed_over),
    Mutant("str(_id) as row", syncing.text_of_id_as_row),
    Mutant("Kafka's offset trusted", syncing.kafka_offset_trusted, seed=250),
    Mutant("start at the end", syncing.start_at_the_end),
    Mutant("oldest of a batch wins", syncing.oldest_of_a_batch_wins),
    Mutant("never resumed", syncing.never_resumed),
    Mutant("versions of the record before", syncing.versions_of_the_record_before),
    Mutant("stale records routed", syncing.stale_records_routed, seed=70),
    Mutant("untold offsets forgotten", syncing.untold_offsets_forgotten, seed=100),
    Mutant("half a rebalance", syncing.owner_not_claimed),
    Mutant("claim good on any server", syncing.claim_good_anywhere),
    Mutant("quiet database not watched", syncing.quiet_database_not_watched),
    Mutant("paused when begun again", syncing.paused_when_begun_again, seed=270),
    Mutant(
        "upsert without guard",
        statements.upsert_without_guard,
        f"{_APPLIER}::test_an_older_change_never_overwrites_a_newer_one",
    ),
    Mutant(
        "delete without tombstone",
        statements.delete_without_tombstone,
        f"{_APPLIER}::test_an_insert_from_before_the_delete_does_not_raise_the_dead",
    ),
    Mutant(
        "delete without guard",
        statements.delete_without_guard,
        f"{_APPLIER}::test_an_insert_from_before_the_delete_does_not_raise_the_dead",
    ),
    Mutant(
        "COPY without tombstones",
        statements.copy_without_tombstones,
        f"{_DIRECT}::test_an_insert_from_before_a_delete_stays_away",
    ),
    Mutant(
        "COPY without key",
        statements.copy_without_key,
        f"{_DIRECT}::test_a_table_whose_key_was_taken_away_is_not_filled_with_doubles",
    ),
    Mutant(
        "COPY in any order",
        statements.copy_in_any_order,
        "tests/unit/apply/test_direct.py::test_lines_are_in_key_order_of_the_c_collation",
    ),
    Mutant(
        "fence not asked",
        statements.fence_not_asked,
        f"{_APPLIER}::test_nothing_is_written_for_a_partition_that_is_not_owned",
    ),
    Mutant(
        "offsets stored by a former owner",
        statements.ledger_not_fenced,
        f"{_APPLIER}::test_the_former_owner_can_store_no_offset_any_more",
    ),
    Mutant(
        "lower offset passed over",
        statements.lower_offset_passed_over,
        "tests/integration/test_postgres_gone_back.py"
        "::test_an_offset_lower_than_the_one_stored_last_shows_that_the_database_went_back",
    ),
    Mutant(
        "torn token accepted",
        statements.checksum_not_compared,
        "tests/unit/checkpoint/test_record.py",
    ),
)
