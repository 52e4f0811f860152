"""`kafka.bootstrap_servers` and `kafka.security` in the spelling of each client library. Pure.

Only what both kinds of client (producer, consumer, admin) share: where the brokers are, and how to be let in.
"""

from __future__ import annotations

from typing import Any

from cdc_cli.settings.models import KafkaSettings


def kafka_python_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments for KafkaProducer, KafkaConsumer and KafkaAdminClient of kafka-python."""
    security = kafka.security
    options: dict[str, Any] = {
        "bootstrap_servers": list(kafka.bootstrap_servers),
        "security_protocol": security.protocol,
    }
    if security.protocol.startswith("SASL"):
        options["sasl_mechanism"] = security.mechanism
        options["sasl_plain_username"] = security.username
        options["sasl_plain_password"] = _password(kafka)
    if security.protocol.endswith("SSL"):
        options["ssl_cafile"] = security.ca_file
        options["ssl_certfile"] = security.certificate_file
        options["ssl_keyfile"] = security.key_file
        options["ssl_check_hostname"] = security.check_hostname
    return options


def confluent_options(kafka: KafkaSettings) -> dict[str, Any]:
    """The configuration entries for Producer, Consumer and AdminClient of confluent-kafka (librdkafka)."""
    security = kafka.security
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(kafka.bootstrap_servers),
        "security.protocol": security.protocol.lower(),
    }
    if security.protocol.startswith("SASL"):
        options["sasl.mechanism"] = security.mechanism
        options["sasl.username"] = security.username
        options["sasl.password"] = _password(kafka)
    if security.protocol.endswith("SSL"):
        options["ssl.ca.location"] = security.ca_file
        options["ssl.certificate.location"] = security.certificate_file
        options["ssl.key.location"] = security.key_file
        # Turns off the comparison of names only; the certificate chain is always checked.
        options["ssl.endpoint.identification.algorithm"] = "https" if security.check_hostname else "none"
    return {name: value for name, value in options.items() if value is not None}


def _password(kafka: KafkaSettings) -> str | None:
    password = kafka.security.password
    return None if password is None else password.get_secret_value()
