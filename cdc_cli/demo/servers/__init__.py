"""Embedded servers, one file each: MongoDB, a Kafka broker in memory, Apache Kafka, PostgreSQL, Valkey."""

from cdc_cli.demo.servers.apache_kafka import ApacheKafka, Listener
from cdc_cli.demo.servers.base import EmbeddedServer, ServerError
from cdc_cli.demo.servers.kafka import EmbeddedKafka
from cdc_cli.demo.servers.mongodb import EmbeddedMongo
from cdc_cli.demo.servers.postgres import EmbeddedPostgres
from cdc_cli.demo.servers.valkey import EmbeddedValkey

__all__ = [
    "ApacheKafka",
    "EmbeddedKafka",
    "EmbeddedMongo",
    "EmbeddedPostgres",
    "EmbeddedServer",
    "EmbeddedValkey",
    "Listener",
    "ServerError",
]
