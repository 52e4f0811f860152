"""The part of the wiring that `cdc watch` needs: see wiring.py."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from functools import partial

from cdc_cli import __version__
from cdc_cli.brokers import TopicAdmin
from cdc_cli.checkpoint import TokenStore, Writer
from cdc_cli.checkpoint.belonging import Belonging
from cdc_cli.checkpoint.tracker import Tracker
from cdc_cli.clock import Clock
from cdc_cli.consume.topics import literal_topics
from cdc_cli.container import Container
from cdc_cli.observe.counters import Counters
from cdc_cli.observe.health import MONGODB, TOKENS, Health
from cdc_cli.publish import Publisher
from cdc_cli.publish.topics import names_collection, topic_of
from cdc_cli.retry import RetryPolicy
from cdc_cli.settings.models import Settings
from cdc_cli.workers.checkpointer import Checkpointer
from cdc_cli.workers.forward import Forwarder
from cdc_cli.workers.services import Starter, WatchService
from cdc_cli.workers.watch import Bounds, Watcher


def _topic_namer(settings: Settings) -> Callable[[str, str], str]:
    """(database, collection) -> topic."""
    template, name = settings.kafka.topic, settings.name
    return lambda database, collection: topic_of(template, name, database, collection)


def watch_service(container: Container) -> WatchService:
    from cdc_cli.capture.client import connect
    from cdc_cli.capture.identity import identify
    from cdc_cli.capture.mongo import MongoCapture
    from cdc_cli.capture.pipeline import filters_text, fingerprint, stream_name
    from cdc_cli.capture.start import Start
    from cdc_cli.checkpoint.siblings import check_siblings
    from cdc_cli.envelope import Encoder, codec_options, decode_document

    settings, clock, stop = container.get(Settings), container.get(Clock), container.get(threading.Event)
    mongodb, watching, counters = settings.mongodb, settings.watcher, container.get(Counters)
    policy, publisher, admin = container.get(RetryPolicy), container.get(Publisher), container.get(TopicAdmin)
    shard, health = settings.shard, container.get(Health)
    client = connect(mongodb, f"cdc:{settings.name}{f':{shard.slug}' if shard else ''}")
    tracker = Tracker()
    checkpointer = Checkpointer(
        container.get(TokenStore),
        tracker,
        Writer(socket.gethostname(), os.getpid(), __version__),
        policy.backoff("saving the resume token"),
        watching.heartbeat,
        settings.token_store.redis.lease,
        counters,
        clock,
        partial(health.asking, TOKENS),
    )
    forwarder = Forwarder(
        publisher,
        tracker,
        Encoder(with_namespace=not names_collection(settings.kafka.topic, mongodb.database)),
        _topic_namer(settings),
        admin,
        settings.dead_letter_topic,
        watching.on_oversized_event == "fail",
        counters,
        clock,
    )
    watcher = Watcher(
        MongoCapture(
            client, mongodb, Start(watching.start_from), codec_options(), decode_document,
            partial(counters.add_wait, "watch_waited", "mongodb"), partial(health.asking, MONGODB), shard,
        ),
        publisher,
        tracker,
        forwarder,
        checkpointer,
        policy.backoff,
        Bounds(watching.max_in_flight.events, watching.max_in_flight.size),
        watching.on_position_lost == "skip_to_now",
        counters,
        health,
        clock,
        stop,
    )

    def belongs() -> Belonging:
        return Belonging(stream_name(mongodb, shard), fingerprint(mongodb), *identify(client))

    return WatchService(
        watcher,
        checkpointer,
        container.get(TokenStore),
        publisher,
        admin,
        first_topics(settings),
        belongs,
        filters_text(mongodb),
        lambda is_first: check_siblings(settings, is_first),
        watching.start_from,
        watching.standby,
        watching.shutdown_timeout,
        container.get(Starter),
        stop,
    )


def first_topics(settings: Settings) -> frozenset[str]:
    """What can be made before the first event: the topics of the listed collections, and the dead letters'."""
    return (literal_topics(settings) or frozenset()) | {settings.dead_letter_topic}
