"""The effective configuration and the JSON Schema."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from cdc_cli.settings.effective import as_tree, as_yaml, values
from cdc_cli.settings.keys import keys, sections
from cdc_cli.settings.schema import descriptions, json_schema
from tests.unit.settings.conftest import Load

SECRETS = """\
mongodb: {uri: "mongodb://u:canary@mongo.example/?replicaSet=rs0"}
kafka: {security: {protocol: SASL_SSL, mechanism: PLAIN, username: u, password: canary}}
postgres: {dsn: "host=pg.example password=canary"}
token_store: {redis: {url: "redis://:canary@redis.example/0"}}
alerts: {webhook: "https://hooks.example/canary"}
"""


def test_secrets_are_masked_and_hosts_are_shown(load_text: Load) -> None:
    text = as_yaml(load_text(SECRETS), with_origin=True)
    assert "canary" not in text
    shown = yaml.safe_load(text)
    assert shown["mongodb"]["uri"] == "mongodb://********@mongo.example/?replicaSet=rs0"
    assert shown["kafka"]["security"]["password"] == "********"
    assert shown["postgres"]["dsn"] == "host=pg.example password=********"
    assert shown["token_store"]["redis"]["url"] == "redis://********@redis.example/0"
    assert shown["alerts"]["webhook"] == "https://hooks.example/********"


def test_what_is_shown_is_every_key_and_loads_again_to_the_same(load_text: Load) -> None:
    first = load_text("syncer: {workers: 3}\nwatcher: {heartbeat: 90s}\nname: again")
    text = as_yaml(first, with_origin=False)
    again = load_text(text, base=False)
    assert values(again) == values(first)
    assert yaml.safe_load(text) == as_tree(values(first))
    assert list(values(first)) == list(keys())
    assert yaml.safe_load(text)["kafka"]["consumer"]["group_id"] == "cdc-sync-again"


@pytest.mark.requirement("R11.2")
def test_the_origin_of_each_value_stands_beside_it(load_text: Load) -> None:
    text = as_yaml(load_text(env={"CDC_NAME": "x"}, sets=["http.enabled=false"]), with_origin=True)
    lines = dict(re.match(r"\s*([^#]*?)\s*(?:# (.*))?$", line).groups() for line in text.splitlines())  # type: ignore[union-attr]
    assert lines["name: x"] == "env CDC_NAME"
    assert lines["enabled: false"] == "--set http.enabled"
    assert lines["database: game"] == "0.yaml:1"
    assert lines["workers: 8"] == "default"


def test_what_is_not_known_offline_is_not_invented(load_text: Load) -> None:
    loaded = load_text("syncer: {workers: '${W}'}\nalerts: {webhook_file: x}", offline=True)
    text = as_yaml(loaded, with_origin=True)
    assert re.search(r"workers: null +# not known here", text)
    assert re.search(r"webhook: null +# not known here", text)


def test_every_key_has_a_description() -> None:
    assert [path for path in keys() if not descriptions().get(path)] == []


def test_the_schema_knows_every_key_twin_default_and_unit() -> None:
    schema = json_schema()
    definitions: dict[str, Any] = schema["$defs"]
    for path in keys():
        node = schema
        *parents, name = path.split(".")
        for parent in parents:
            node = definitions[node["properties"][parent]["$ref"].rpartition("/")[2]]
        assert node["additionalProperties"] is False
        assert node["properties"][name]["description"], path
    assert "dsn_file" in definitions["PostgresSettings"]["properties"]
    assert definitions["TopicSettings"]["properties"]["retention"]["default"] == "7d"
    assert definitions["TopicSettings"]["properties"]["max_message_size"]["default"] == "20MiB"
    assert all("required" not in definition for definition in (schema, *definitions.values()))
    assert len(definitions) == len(sections()) - 1
