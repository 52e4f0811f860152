"""The reader knows whether its next change is here already: the publisher's bursts depend on it."""

from __future__ import annotations

from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from cdc_cli.capture import Captured
from cdc_cli.capture.mongo import MongoCapture
from cdc_cli.capture.start import Start
from cdc_cli.demo.servers import EmbeddedMongo
from cdc_cli.envelope import codec_options, decode_document
from cdc_cli.settings.models import MongoSettings
from tests.support.waiting import eventually


def test_there_is_more_until_the_last_change_of_an_answer_was_read(
    mongo: EmbeddedMongo, mongo_database: Database[Any]
) -> None:
    settings = MongoSettings(uri=mongo.uri, database=mongo_database.name, collections=["players"])
    seen: list[tuple[object, bool]] = []
    with MongoClient[dict[str, Any]](mongo.uri) as client:
        capture = MongoCapture(client, settings, Start("now"), codec_options(), decode_document)
        begin = capture.open(None)
        mongo_database.players.insert_many([{"_id": number} for number in range(20)])
        capture.open(begin)
        before = capture.has_more

        def all_read() -> bool:
            item = capture.read()
            if isinstance(item, Captured):
                seen.append((item.event.id, capture.has_more))
            return len(seen) == 20

        eventually(all_read)
        capture.close()
    assert not before
    assert seen == [(number, number < 19) for number in range(20)], "all in one answer"
