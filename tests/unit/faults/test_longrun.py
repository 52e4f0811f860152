"""The long run's own logic: the plan comes from the seed, signs are told from noise, times are summed up rightly."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults.longrun.evidence import Event, Letter, never_sent, out_of_order, token_ahead
from tests.faults.longrun.figures import Figures
from tests.faults.longrun.judge import Planted, unaccounted
from tests.faults.longrun.merge import merged
from tests.faults.longrun.plan import DECK, LINKS, NETWORK, Fault, episodes, expanded, name_of, setting
from tests.faults.longrun.signs import COUNTER, EXIT, LOG, READY, REBALANCES, Page, Probed, Sign, State, sign_of, total
from tests.faults.longrun.times import Times, first_sign, rows, summary, table
from tests.support.witness import AtWatchKill, Seen


def test_a_seed_determines_everything_and_another_seed_something_else() -> None:
    assert expanded(7, 300) == expanded(7, 300)
    assert expanded(7, 300) != expanded(8, 300)
    assert {setting(seed) for seed in range(60)} == {
        (client, store) for client in ("kafka-python", "confluent") for store in ("redis", "file")
    }
    assert setting(3, client="confluent", store="file") == ("confluent", "file")


def test_every_fault_comes_and_those_of_redis_only_where_redis_is_used() -> None:
    def names(store: str) -> set[str]:
        plan = episodes(5, store=store)
        return {fault.name for _ in range(120) for fault in next(plan).faults}

    everything = {kind for kind, _, _ in DECK} | {name_of(kind, link) for kind in NETWORK for link in LINKS}
    assert names("redis") == everything
    assert {name for name in everything if "redis" in name} == everything - names("file")


def test_what_concerns_everything_comes_alone_and_quiet_points_come_again_and_again() -> None:
    plan = episodes(11)
    found = [next(plan) for _ in range(400)]
    assert not [e for e in found if len(e.faults) > 1 and any(f.target == "all" for f in e.faults)]
    quiet = [episode.number for episode in found if episode.quiet]
    gaps = [later - earlier for earlier, later in zip([0, *quiet], quiet, strict=False)]
    assert len(quiet) > 10 and min(gaps) >= 18 and max(gaps) <= 26


def _line(**fields: object) -> bytes:
    return json.dumps({"@timestamp": "2026-11-23T14:00:00.500000Z", "message": "m", **fields}).encode()


def test_warnings_and_errors_are_signs_and_the_planted_dead_letters_are_not() -> None:
    warning = sign_of(_line(**{"log.level": "warn", "event.action": "retry"}), "sync 1")
    assert warning == Sign(1795442400.5, "sync 1", LOG, "retry: m")
    assert sign_of(_line(**{"log.level": "error", "event.action": "message"}), "watch 1") is not None
    assert sign_of(_line(**{"log.level": "info", "event.action": "batch.applied"}), "sync 1") is None
    assert sign_of(_line(**{"log.level": "error", "event.action": "event.dead_lettered"}), "watch 1") is None
    late = {"log.level": "warn", "event.action": "retry", "cdc.repeated": 3}
    assert sign_of(_line(**late), "sync 1") is None
    assert sign_of(b"Traceback (most recent call last):", "sync 1") is None


def test_a_counter_is_the_sum_over_its_labels() -> None:
    page = 'cdc_retries_total{stage="a"} 2\ncdc_retries_total{stage="b"} 3\ncdc_retries_total_more 9\n'
    assert total(page, "cdc_retries_total") == 5
    assert total("cdc_rebalances_total 4.0\n", "cdc_rebalances_total") == 4


def test_what_the_pages_and_the_end_of_a_process_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"/readyz": Page(503), "/metrics": Page(200, "cdc_retries_total 1\n")}
    monkeypatch.setattr("tests.faults.longrun.signs._get", lambda port, path: pages[path])
    process: Any = SimpleNamespace(exit_code=None)
    probed, state = Probed(process, 1), State()

    def look() -> list[tuple[str, str]]:
        return [(sign.kind, sign.text) for sign in state.look("sync 1", probed, 5.0)]

    assert look() == []  # it is starting: not ready yet
    pages["/readyz"] = Page(200)
    assert look() == []  # the first look only tells how the counters stand
    pages["/metrics"] = Page(200, "cdc_retries_total 3\n")
    assert look() == [(COUNTER, "cdc_retries_total")]
    assert look() == []
    pages["/readyz"] = Page(503)
    assert look() == [(READY, "answers 503")]
    assert look() == []
    pages["/readyz"] = Page(200)
    assert look() == []
    pages["/readyz"] = Page(0)
    assert look() == [(READY, "does not answer")]
    process.exit_code = 80
    assert look() == [(EXIT, "exit code 80")]
    assert look() == []


def test_the_first_sign_is_one_of_a_process_that_the_fault_concerns_while_it_lasts() -> None:
    signs = [
        Sign(9.0, "sync 1", LOG, "before"),
        Sign(11.0, "watch 1", LOG, "not concerned"),
        Sign(12.0, "sync 2", COUNTER, "this"),
        Sign(12.5, "sync 1", EXIT, "later"),
    ]
    postgres = [Fault("cut", "postgres", 0.0, 1.0)]
    assert first_sign(signs, postgres, 10.0, 20.0) == signs[2]
    assert first_sign(signs, postgres, 13.0, 20.0) is None
    assert first_sign(signs, [Fault("cut", "kafka", 0.0, 1.0)], 10.0, 20.0) == signs[1]
    assert first_sign(signs, postgres, 10.0, 11.5) is None
    late = [Sign(10.5, "sync 2", COUNTER, REBALANCES), *signs]
    assert first_sign(late, postgres, 10.0, 20.0) == signs[2]
    assert first_sign(late, [Fault("churn", "sync", 0.0, 1.0)], 10.0, 20.0) == late[0]


def test_a_fault_that_nobody_could_see_is_absorbed_and_not_found_at_once() -> None:
    times = [
        Times("kafka latency", None, "", 0.2),
        Times("kafka latency", None, "", 0.4),
        Times("kill sync", 0.1, EXIT, 3.0),
        Times("kill sync", None, "", 5.0),
    ]
    latency, kill, everything = rows(times)
    assert (latency.n, latency.absorbed, latency.detected.p50) == (2, 2, None)
    assert (kill.n, kill.absorbed, kill.detected.largest, kill.by) == (2, 1, 0.1, EXIT)
    assert (everything.n, everything.absorbed, everything.recovered.largest) == (4, 3, 5.0)
    assert "kafka latency             2        2      -" in table(times)
    assert rows([]) == []


def test_percentiles_are_values_that_were_measured() -> None:
    assert summary([float(n) for n in range(100, 0, -1)]) == (50.0, 95.0, 100.0)
    assert summary([2.0, 1.0]) == (1.0, 2.0, 2.0)
    assert summary([3.0]) == (3.0, 3.0, 3.0)


A, B, LETTERS = ("t", 0), ("t", 7), ("dlq", 0)


def _event(place: tuple[str, int], offset: int, position: str) -> Event:
    return Event(place, offset, b"k", position, ("players", "k", "string"), False)


CHANGES = [Seen("players", "update", str(number)) for number in range(1, 6)]


def test_records_of_a_key_that_moved_are_in_order_partition_by_partition() -> None:
    old = [_event(A, n, str(n + 1)) for n in range(3)]
    new = [_event(B, n, str(n + 4)) for n in range(2)]
    assert out_of_order(CHANGES, [*new, *old]) == []
    sent_again = [*new, _event(B, 2, "3"), _event(B, 3, "4"), _event(B, 4, "5")]
    assert out_of_order(CHANGES, [*old, *sent_again]) == []
    overtaken = [_event(B, 0, "5"), _event(B, 1, "4")]
    assert len(out_of_order(CHANGES, [*old, *overtaken])) == 1


def test_a_change_among_the_dead_letters_is_not_lost_and_the_token_may_pass_it() -> None:
    events = [_event(A, n, str(n + 1)) for n in range(4)]
    letter = Letter(LETTERS, 0, b"k", "5")
    assert never_sent(CHANGES, events) == [CHANGES[4]]
    assert never_sent(CHANGES, [*events, letter]) == []
    assert token_ahead(AtWatchKill("5", {A: 4, LETTERS: 1}), CHANGES, [*events, letter]) == []
    assert token_ahead(AtWatchKill("5", {A: 4, LETTERS: 0}), CHANGES, [*events, letter]) == [CHANGES[4]]


def test_what_was_planted_must_be_among_the_dead_letters_and_nothing_else_may() -> None:
    planted = Planted(["poison-0"], ["poison-0", "poison-1"], ["oversized 4"])
    junk = [Letter(LETTERS, n, key, None) for n, key in enumerate((b"poison-0", b"poison-1"))]
    large = Letter(LETTERS, 2, b'{"_id":"oversized 4"}', "4")

    def wrong(*letters: Letter) -> list[list[object]]:
        return [found for found in unaccounted(letters, planted, {"4"}).values() if found]

    assert wrong(*junk, large, large) == []
    assert wrong(junk[0], large) == []  # of the other one nobody knows whether Kafka took it
    assert wrong(junk[1], large) == [["poison-0"]]
    assert wrong(*junk) == [["oversized 4"]]
    stranger = Letter(LETTERS, 3, b'{"_id":"a player"}', "3")
    assert wrong(*junk, large, stranger) == [[stranger]]


def test_runs_are_added_up_from_what_each_wrote_for_machines(tmp_path: Path) -> None:
    files = []
    for seed, seconds in ((1, 2.0), (2, 4.0)):
        times = [Times("kill sync", 0.5, EXIT, seconds)]
        figures = Figures(seed, changes=10, faults=Counter({"kill sync": 1}), times=times)
        if seed == 2:
            figures.fail("something")
        files.append(tmp_path / f"{seed}.json")
        files[-1].write_text(json.dumps(figures.to_json()))
    told = merged(files)
    assert "failed                                    2\n" in told
    assert "changes in MongoDB                        20\n" in told
    assert "kill sync                 2        0    0.5    0.5    0.5  exit                2.0    4.0    4.0" in told
