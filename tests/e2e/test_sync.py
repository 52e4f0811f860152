"""`cdc sync`: what stands in Kafka arrives in PostgreSQL, in batches, in order per document, however often."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaProducer

from cdc_cli.demo.servers import ApacheKafka, EmbeddedMongo, EmbeddedPostgres
from tests.support.cdc_process import CdcProcess
from tests.support.fixtures import started
from tests.support.pipeline import Pipeline
from tests.support.proxy import Proxy
from tests.support.rows import connection
from tests.support.topics import Topics
from tests.support.workload import Workload

CANARY = "canary4711secret"


@pytest.fixture
def topics(kafka: ApacheKafka) -> Iterator[Topics]:
    with Topics(kafka.bootstrap) as found:
        yield found


@pytest.fixture
def produce(kafka: ApacheKafka) -> Iterator[Callable[..., None]]:
    """Writes records by hand, as a stranger would."""
    producer = KafkaProducer(bootstrap_servers=[kafka.bootstrap], max_request_size=20_000_000)

    def send(topic: str, value: bytes | None, key: bytes | None = b"k", partition: int = 0) -> None:
        producer.send(topic, value=value, key=key, partition=partition).get(timeout=20)

    yield send
    producer.close(timeout=5)


def _fill(pipeline: Pipeline, count: int, first: int = 0) -> None:
    pipeline.database["players"].insert_many([{"_id": n, "n": n} for n in range(first, first + count)])


def _publish(pipeline: Pipeline, count: int, topics: Topics) -> None:
    """That many inserts into Kafka, with nobody to consume them yet."""
    watch = pipeline.watch()
    _fill(pipeline, count)
    topic = pipeline.topic("players")
    watch.wait_until(lambda: sum(topics.ends([topic]).values()) == count, f"{count} records")
    assert watch.stop() == 0


@pytest.mark.requirement("R4.1", "R4.2", "R4.3", "R7.1", "R8.1", "R8.3", "R5.1")
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_changes_arrive_as_rows_and_deletes_remove_them(pipeline: Pipeline, client: str) -> None:
    pipeline.set("kafka.client", client)
    processes = pipeline.watch(), pipeline.sync()
    players = pipeline.database["players"]
    players.insert_many([{"_id": n, "level": 1} for n in range(5)])
    pipeline.wait_in_sync(*processes)
    players.update_one({"_id": 1}, {"$set": {"level": 2}})
    players.replace_one({"_id": 2}, {"name": "new"})
    players.delete_one({"_id": 3})
    pipeline.wait_in_sync(*processes)
    assert pipeline.rows("players")["1"] == {"_id": 1, "level": 2}
    keys = "SELECT count(*) FROM pg_index WHERE indisprimary AND indrelid = 'public.players'::regclass"
    assert pipeline.query(keys) == [(1,)]


@pytest.mark.requirement("R5.2", "R5.3", "R5.4", "R5.5", "R7.3", "R7.4")
def test_a_batch_is_written_when_it_is_full_or_old_enough(pipeline: Pipeline, topics: Topics) -> None:
    _publish(pipeline, 900, topics)
    pipeline.set("syncer.workers", 1)
    pipeline.set("syncer.batch", {"max_rows": 200, "max_wait": "1s", "copy_threshold": 150})
    sync = pipeline.sync()
    sync.wait_until(lambda: sync.total("db.operation.batch.size") == 900, "900 rows")
    sizes = [line["db.operation.batch.size"] for line in sync.logged("batch.applied")]
    assert max(sizes) == 200, "a full batch is not waited for, and none is larger"
    assert sizes.count(200) >= 3
    assert sync.stop() == 0
    assert pipeline.query("SELECT sum(next_offset) FROM cdc.offsets") == [(900,)]


@pytest.mark.requirement("R5.2", "R5.3")
def test_the_defaults_are_a_thousand_rows_or_half_a_second(pipeline: Pipeline) -> None:
    pipeline.config["syncer"].pop("batch")
    shown = json.loads(pipeline.run("config", "show", "-o", "json").stdout)
    text = json.dumps(shown)
    assert '"max_rows": 1000' in text
    assert '"max_wait": "500ms"' in text or '"max_wait": 0.5' in text


@pytest.mark.requirement("R6.1", "R6.2", "R6.3", "R6.4", "R6.5")
def test_many_workers_share_the_work_and_keep_the_order_of_a_document(pipeline: Pipeline) -> None:
    processes = pipeline.watch(), pipeline.sync("--workers", "6")
    players = pipeline.database["players"]
    for number in range(60):
        players.update_many({}, {"$inc": {"n": 1}}) if number % 10 == 9 else _fill(pipeline, 20, number * 20)
    pipeline.wait_in_sync(*processes)
    workers = Counter(line["cdc.worker"] for line in processes[1].logged("batch.applied"))
    assert set(workers) == set(range(6)), "every worker got some of it"


@pytest.mark.requirement("R6.4", "R7.2", "R7.5")
def test_more_workers_than_connections_wait_for_their_turn(pipeline: Pipeline, postgres: EmbeddedPostgres) -> None:
    pipeline.set("postgres.pool", {"min": 1, "max": 2})
    processes = pipeline.watch(), pipeline.sync("--workers", "8")
    _fill(pipeline, 2000)
    pipeline.wait_in_sync(*processes)
    used = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'cdc:%%'"
    assert pipeline.query(used, pipeline.name)[0][0] <= 2
    assert processes[1].exit_code is None


@pytest.mark.requirement("R8.4", "R10.1", "R10.2", "R10.3", "R10.4")
def test_the_log_is_json_and_counts_what_was_inserted_and_updated(pipeline: Pipeline) -> None:
    pipeline.set("syncer.batch.max_wait", "300ms")
    watch, sync = pipeline.watch("--log-level", "debug"), pipeline.sync()
    _fill(pipeline, 30)
    pipeline.wait_in_sync(watch, sync)
    pipeline.database["players"].update_many({"_id": {"$lt": 10}}, {"$set": {"n": -1}})
    pipeline.database["players"].delete_many({"_id": {"$gte": 25}})
    pipeline.wait_in_sync(watch, sync)
    sync.wait_until(lambda: sync.total("cdc.deleted") == 5, "the counts of the last batch")
    assert (sync.total("cdc.inserted"), sync.total("cdc.updated")) == (30, 10)
    for process, command in ((watch, "watch"), (sync, "sync")):
        assert process.stop() == 0
        lines = process.text().splitlines()
        assert lines == [line for line in lines if line.startswith("{")], "nothing but JSON"
        for line in map(json.loads, lines):
            assert line["service.name"] == pipeline.name and line["cdc.command"] == command
            assert line["@timestamp"].endswith("Z") and line["event.action"] and line["message"]
            assert line["log.level"] in ("debug", "info", "warn", "error")
    assert {line["log.level"] for line in sync.lines()} <= {"info", "warn", "error"}


@pytest.mark.requirement("R4.4", "R12.5", "R4.3")
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_poisoned_record_goes_to_the_dead_letters_and_the_next_ones_are_processed(
    pipeline: Pipeline, topics: Topics, produce: Callable[..., None], client: str
) -> None:
    pipeline.set("kafka.client", client)
    watch, sync = pipeline.watch(), pipeline.sync()
    _fill(pipeline, 10)
    pipeline.wait_in_sync(watch, sync)
    poison = [b"{bad", b"\xff\xfe", b"[]", b'{"v":99}', b"", b"[" * 3000]
    for value in poison:
        produce(pipeline.topic("players"), value, b"stranger")
    _fill(pipeline, 10, 10)
    pipeline.wait_in_sync(watch, sync)
    sync.wait_until(lambda: len(topics.read([pipeline.dead_letter_topic])) == len(poison), "all dead letters")
    letters = topics.read([pipeline.dead_letter_topic])
    assert sorted(letter.value or b"" for letter in letters) == sorted(poison)
    for letter in letters:
        assert letter.key == b"stranger"
        assert letter.headers["cdc.origin.topic"].decode() == pipeline.topic("players")
        assert letter.headers["cdc.origin.partition"] == b"0" and int(letter.headers["cdc.origin.offset"]) >= 0
        assert all(letter.headers[name] for name in ("cdc.error.code", "cdc.error.stage", "cdc.error.message"))
    logged = sync.logged("event.dead_lettered")
    assert logged and {line["log.level"] for line in logged} == {"error"}, "repetitions are counted, not printed"


@pytest.mark.requirement("R4.4", "R12.3", "R12.5", "R10.5")
def test_on_error_stop_ends_sync_with_the_position_kept(pipeline: Pipeline, produce: Callable[..., None]) -> None:
    pipeline.set("syncer.on_error", "stop")
    watch, sync = pipeline.watch(), pipeline.sync()
    _fill(pipeline, 10)
    pipeline.wait_in_sync(watch, sync)
    produce(pipeline.topic("players"), b"{bad")
    assert sync.wait(30) == 81
    fatal = sync.logged("worker.gave_up")[-1]
    assert fatal["message"].startswith("fatal: ") and fatal["error.stack_trace"]
    again = pipeline.sync()
    assert again.wait(30) == 81, "it was not passed over"


@pytest.mark.requirement("R12.3", "R12.5")
def test_too_many_dead_letters_are_an_outage_and_stop_it(
    pipeline: Pipeline, topics: Topics, produce: Callable[..., None]
) -> None:
    watch, sync = pipeline.watch(), pipeline.sync()
    _fill(pipeline, 10)
    pipeline.wait_in_sync(watch, sync)
    for number in range(80):
        produce(pipeline.topic("players"), b"{bad %d" % number)
    assert sync.wait(30) == 81
    assert "dead_letter.max_fraction" in sync.text()
    assert len(topics.read([pipeline.dead_letter_topic])) < 80


@pytest.mark.requirement("R4.5", "R8.5", "R8.2")
def test_reading_everything_again_changes_nothing(pipeline: Pipeline) -> None:
    watch, sync = pipeline.watch(), pipeline.sync()
    players = pipeline.database["players"]
    for number in range(5):
        _fill(pipeline, 20, number * 20)
        players.update_many({}, {"$inc": {"n": 1}})
        players.delete_many({"_id": {"$mod": [7, number]}})
    pipeline.wait_in_sync(watch, sync)
    before = pipeline.query("SELECT _id, document, cdc_position FROM public.players ORDER BY 1")
    assert sync.stop() == 0
    pipeline.query("DELETE FROM cdc.offsets")
    again = pipeline.sync()
    again.wait_until(lambda: again.total("cdc.stale") > 0, "repeated events")
    ends = "SELECT sum(next_offset) FROM cdc.offsets"
    pipeline.wait_until(lambda: (pipeline.query(ends)[0][0] or 0) > 300, "everything read again")
    assert pipeline.query("SELECT _id, document, cdc_position FROM public.players ORDER BY 1") == before
    assert (again.total("cdc.inserted"), again.total("cdc.updated"), again.total("cdc.deleted")) == (0, 0, 0)


@pytest.mark.requirement("R4.5", "R5.4")
def test_offsets_are_stored_only_after_the_rows(pipeline: Pipeline) -> None:
    watch, sync = pipeline.watch(), pipeline.sync()
    _fill(pipeline, 100)
    pipeline.wait_in_sync(watch, sync)
    stored = "SELECT coalesce(sum(next_offset), 0) FROM cdc.offsets"
    pipeline.wait_until(lambda: pipeline.query(stored) == [(100,)], "stored offsets")
    with connection(pipeline.dsn) as opened:
        opened.autocommit = False
        opened.cursor().execute("LOCK TABLE public.players IN SHARE MODE")
        _fill(pipeline, 100, 100)
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
        pipeline.wait_until(lambda: bool(pipeline.query(waiting, pipeline.name)), "sync waits for the lock")
        assert pipeline.query(stored) == [(100,)], "nothing is committed that is not written"
        sync.kill()
    again = pipeline.sync()
    pipeline.wait_in_sync(watch, again)


@pytest.mark.requirement("R12.1", "R12.4", "R7.1")
def test_sync_survives_a_postgresql_that_crashes_and_comes_back(
    pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with started(EmbeddedPostgres(tmp_path_factory.mktemp("postgresql-to-crash"))) as server:
        pipeline.dsn = server.dsn
        pipeline.set("postgres.dsn", server.dsn)
        watch, sync = pipeline.watch(), pipeline.sync()
        _fill(pipeline, 200)
        pipeline.wait_in_sync(watch, sync)
        server.stop_immediately()
        _fill(pipeline, 200, 200)
        sync.wait_for("retry")
        server.start()
        pipeline.wait_in_sync(watch, sync)
        assert sync.stop() == 0


@pytest.mark.requirement("R12.1", "R12.4")
def test_terminated_connections_and_a_read_only_server_are_waited_out(pipeline: Pipeline) -> None:
    watch, sync = pipeline.watch(), pipeline.sync()
    _fill(pipeline, 50)
    pipeline.wait_in_sync(watch, sync)
    pipeline.query(f'ALTER DATABASE "{pipeline.name}" SET default_transaction_read_only = on')
    ours = "FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'cdc:%%'"
    pipeline.query(f"SELECT pg_terminate_backend(pid) {ours}", pipeline.name)
    _fill(pipeline, 50, 50)
    sync.wait_for("retry")
    with connection(pipeline.dsn) as opened, opened.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = off")
        cursor.execute(f'ALTER DATABASE "{pipeline.name}" RESET default_transaction_read_only')
        cursor.execute(f"SELECT pg_terminate_backend(pid) {ours}", (pipeline.name,))
    pipeline.wait_in_sync(watch, sync)


@pytest.mark.requirement("R4.2", "R6.5", "R8.5")
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_processes_share_the_partitions_and_a_sleeper_that_wakes_up_does_no_harm(
    pipeline: Pipeline, mongo: EmbeddedMongo, client: str
) -> None:
    pipeline.set("kafka.client", client)
    pipeline.set("kafka.consumer.session_timeout", "2s")
    load = Workload(mongo.uri, pipeline.database.name, 2000, seed=5)
    try:
        watch, first, second = pipeline.watch(), pipeline.sync(), pipeline.sync()
        load.start()
        load.wait(0.2)
        for process in (first, second):
            process.wait_for("partitions.assigned")
        second.send(signal.SIGSTOP)
        known = len(first.logged("partitions.assigned"))
        load.wait(0.5)
        first.wait_for("partitions.assigned", count=known + 1)
        load.wait(0.7)
        second.send(signal.SIGCONT)
        load.wait(0.8)
        first.kill()
        third = pipeline.sync()
        load.finish()
        pipeline.wait_in_sync(watch, second, third, timeout=90)
        assert [p.stop() for p in (watch, second, third)] == [0, 0, 0]
        assert not pipeline.differences()
    finally:
        load.close()


@pytest.mark.requirement("R4.2")
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_collection_that_appears_later_is_taken_up_by_the_group(pipeline: Pipeline, client: str) -> None:
    pipeline.set("kafka.client", client)
    pipeline.set("kafka.consumer.session_timeout", "3s")
    pipeline.database["first"].insert_one({"_id": 0})
    processes = pipeline.watch(), pipeline.sync(), pipeline.sync()
    for name in ("second", "third"):
        pipeline.database[name].insert_one({"_id": 1})
        pipeline.wait_in_sync(*processes, timeout=60, collections=(name,))


@pytest.mark.requirement("R12.2", "R12.3")
def test_giving_up_is_a_fatal_log_entry_and_an_exit_code(
    pipeline: Pipeline, postgres: EmbeddedPostgres, proxied: Callable[[int], Proxy]
) -> None:
    proxy = proxied(postgres.port)
    pipeline.set("postgres.dsn", postgres.dsn_for(pipeline.name, proxy.port))
    pipeline.set("retry", {"max_attempts": 4, "initial": "50ms", "max_delay": "100ms"})
    watch, sync = pipeline.watch(), pipeline.sync()
    _fill(pipeline, 10)
    pipeline.wait_in_sync(watch, sync)
    proxy.refuse()
    proxy.reset()
    _fill(pipeline, 10, 10)
    assert sync.wait(40) == 69
    fatal = sync.logged("worker.gave_up")[-1]
    assert fatal["log.level"] == "error" and fatal["message"].startswith("fatal: ")
    assert "4 times" in fatal["message"] and fatal["cdc.exit_code"] == 69 and fatal["error.stack_trace"]
    proxy.heal()
    pipeline.wait_in_sync(pipeline.sync(), timeout=60)


@pytest.mark.requirement("R12.3")
def test_operators_are_alerted_when_a_worker_gives_up(pipeline: Pipeline, produce: Callable[..., None]) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    posted: list[dict[str, Any]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Webhook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        pipeline.set("alerts.webhook", f"http://127.0.0.1:{server.server_port}/{CANARY}")
        pipeline.set("syncer.on_error", "stop")
        watch, sync = pipeline.watch(), pipeline.sync()
        _fill(pipeline, 1)
        pipeline.wait_in_sync(watch, sync)
        produce(pipeline.topic("players"), b"{bad")
        assert sync.wait(30) == 81
        assert len(posted) == 1 and CANARY not in json.dumps(posted) + sync.text()
        assert pipeline.name in json.dumps(posted[0]) and "81" in json.dumps(posted[0])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.requirement("R10.5", "R10.4")
def test_no_secret_and_no_document_stands_in_a_log_at_debug_level(
    pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory, proxied: Callable[[int], Proxy]
) -> None:
    mongo = EmbeddedMongo(tmp_path_factory.mktemp("locked-mongodb"), password=CANARY)
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("locked-postgresql"), password=CANARY)
    with started(mongo), started(postgres):
        from pymongo import MongoClient

        mongo_proxy, postgres_proxy = proxied(mongo.port), proxied(postgres.port)
        pipeline.dsn = postgres.dsn
        pipeline.set("mongodb.uri", mongo.direct_uri(mongo_proxy.port))
        pipeline.set("postgres.dsn", postgres.dsn_for("postgres", postgres_proxy.port))
        watch, sync = pipeline.watch("-v"), pipeline.sync("-v")
        with MongoClient[dict[str, Any]](mongo.uri) as client:
            pipeline.database = client[pipeline.database.name]
            pipeline.database["players"].insert_one({"_id": "s3cr3t-id", "text": "s3cr3t-text"})
            pipeline.wait_in_sync(watch, sync)
            for proxy in (mongo_proxy, postgres_proxy):
                proxy.refuse()
                proxy.reset()
            watch.wait_for("retry")
            for proxy in (mongo_proxy, postgres_proxy):
                proxy.heal()
            pipeline.database["players"].insert_one({"_id": "s3cr3t-id-2", "text": "s3cr3t-text"})
            pipeline.wait_in_sync(watch, sync)
            assert [watch.stop(), sync.stop()] == [0, 0]
    for process in (watch, sync):
        _assert_clean(process, CANARY, "s3cr3t-id", "s3cr3t-text")


def _assert_clean(process: CdcProcess, *secrets: str) -> None:
    for secret in secrets:
        assert secret not in process.text(), f"{secret} stands in the log of {process}"
