"""The same settings mean the same to both client libraries, and both libraries accept the options."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_cli.settings.kafka_options import confluent_options, kafka_python_options
from cdc_cli.settings.models import KafkaSettings


def kafka(**security: Any) -> KafkaSettings:
    return KafkaSettings.model_validate({"bootstrap_servers": ["a:1", "b:2"], "security": security})


FULL = {
    "protocol": "SASL_SSL",
    "mechanism": "SCRAM-SHA-512",
    "username": "u",
    "password": "p",
    "ca_file": "ca.pem",
    "certificate_file": "c.pem",
    "key_file": "k.pem",
    "check_hostname": False,
}


def test_plaintext_is_only_the_brokers() -> None:
    assert kafka_python_options(kafka()) == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "PLAINTEXT",
    }
    assert confluent_options(kafka()) == {"bootstrap.servers": "a:1,b:2", "security.protocol": "plaintext"}


def test_logging_in_over_tls_in_both_spellings() -> None:
    assert kafka_python_options(kafka(**FULL)) == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "u",
        "sasl_plain_password": "p",
        "ssl_cafile": "ca.pem",
        "ssl_certfile": "c.pem",
        "ssl_keyfile": "k.pem",
        "ssl_check_hostname": False,
    }
    assert confluent_options(kafka(**FULL)) == {
        "bootstrap.servers": "a:1,b:2",
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "u",
        "sasl.password": "p",
        "ssl.ca.location": "ca.pem",
        "ssl.certificate.location": "c.pem",
        "ssl.key.location": "k.pem",
        "ssl.endpoint.identification.algorithm": "none",
    }


def test_keys_of_another_protocol_are_not_passed_on() -> None:
    assert "sasl_mechanism" not in kafka_python_options(kafka(**{**FULL, "protocol": "SSL"}))
    assert "ssl.ca.location" not in confluent_options(kafka(**{**FULL, "protocol": "SASL_PLAINTEXT"}))


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_both_libraries_know_the_options(protocol: str) -> None:
    security = {**FULL, "protocol": protocol, "ca_file": None, "certificate_file": None, "key_file": None}
    from kafka import KafkaConsumer

    assert set(kafka_python_options(kafka(**security))) <= set(KafkaConsumer.DEFAULT_CONFIG)
    confluent_kafka = pytest.importorskip("confluent_kafka")
    confluent_kafka.Producer(confluent_options(kafka(**security)))
