"""Every key of cdc.yaml, its default and its meaning, as frozen models. `Settings` is the root.

Only what the program really does stands here: an unknown key is an error. Secrets are `SecretStr` and print
as asterisks. A `*_file` twin is resolved by the loader before validation, so it has no field here; `SECRET_KEYS`
in `secrets.py` lists them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from cdc_cli.settings.units import Duration, Size

MiB = 1 << 20


class Section(BaseModel):
    """A mapping in cdc.yaml: immutable once loaded, no unknown keys, defaults checked like given values."""

    model_config = ConfigDict(frozen=True, extra="forbid")


OperationName = Literal["insert", "update", "replace", "delete"]


class MongoSettings(Section):
    """The source: which deployment, which database and collections, what an event carries."""

    uri: SecretStr = Field(description="MongoDB connection string of a replica set or sharded cluster")
    database: str | None = Field(None, min_length=1, description="null = the whole deployment")
    collections: list[str] | None = Field(None, min_length=1, description="null = all; globs with * and ?")
    operations: list[OperationName] = Field(["insert", "update", "replace", "delete"], min_length=1)
    full_document: Literal["default", "updateLookup", "whenAvailable", "required"] = "updateLookup"
    pre_images: Literal["none", "whenAvailable", "required"] = "none"


class KafkaSecurity(Section):
    """How to talk to the brokers; the same keys for both client libraries."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: SecretStr | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    check_hostname: bool = True


class TopicSettings(Section):
    """How missing topics are created; existing topics are never changed."""

    enabled: bool = True
    partitions: int = Field(12, ge=1, le=10_000)
    replication_factor: int = Field(1, ge=1, le=100)
    retention: Duration = 7 * 86400.0
    max_message_size: Size = 20 * MiB


class ProducerSettings(Section):
    """Batching towards the brokers. Durability is not an option: acks=all, idempotent."""

    linger: Duration = 0.005
    batch_size: Size = 512 * 1024
    compression: Literal["none", "lz4", "zstd", "gzip", "snappy"] = "none"


class ConsumerSettings(Section):
    """The consumer group that shares the partitions among `cdc sync` processes."""

    group_id: str | None = Field(None, description="default: cdc-sync-{name}")
    session_timeout: Duration = 45.0
    max_poll_interval: Duration = 300.0


class KafkaSettings(Section):
    bootstrap_servers: list[str] = Field(min_length=1)
    client: Literal["auto", "kafka-python", "confluent"] = "auto"
    topic: str = "cdc.{database}.{collection}"
    security: KafkaSecurity = KafkaSecurity()
    create_topics: TopicSettings = TopicSettings()
    producer: ProducerSettings = ProducerSettings()
    consumer: ConsumerSettings = ConsumerSettings()


class PoolSettings(Section):
    min: int = Field(10, ge=1)
    max: int = Field(50, ge=1)
    acquire_timeout: Duration = 30.0


class PostgresSettings(Section):
    dsn: SecretStr = Field(description="libpq connection string or postgresql:// URL")
    schema_: str = Field("public", alias="schema", min_length=1)
    pool: PoolSettings = PoolSettings()
    statement_timeout: Duration = 30.0
    max_concurrent_writes: int = Field(
        0, ge=0, description="transactions at once; 0 = twice the cores of this machine"
    )


class FileStoreSettings(Section):
    path: str = "./state/cdc-token.json"


class RedisStoreSettings(Section):
    url: SecretStr = SecretStr("redis://localhost:6379/0")
    key_prefix: str = "cdc:{name}:"
    lease: Duration = Field(15.0, description="another watcher takes over after this long without a renewal")


class TokenStoreSettings(Section):
    backend: Literal["file", "redis"] = "file"
    file: FileStoreSettings = FileStoreSettings()
    redis: RedisStoreSettings = RedisStoreSettings()
    history: int = Field(50, ge=0, le=10_000)


class InFlightSettings(Section):
    """Read from MongoDB and not yet acknowledged by Kafka: the reader waits when either bound is reached."""

    events: int = Field(20_000, ge=1)
    size: Size = 64 * MiB


class WatcherSettings(Section):
    start_from: str = Field("now", description="now | oldest | ISO-8601 time; only used when no token is stored")
    on_position_lost: Literal["fail", "skip_to_now"] = "fail"
    on_oversized_event: Literal["dead_letter", "fail"] = "dead_letter"
    max_in_flight: InFlightSettings = InFlightSettings()
    heartbeat: Duration = 10.0
    shutdown_timeout: Duration = 25.0


class BatchSettings(Section):
    max_rows: int = Field(1000, ge=1, le=100_000)
    max_wait: Duration = 0.5
    copy_threshold: int = Field(100, ge=0)


class BufferSettings(Section):
    """Consumed from Kafka and not yet written to PostgreSQL; partitions pause when either bound is reached."""

    events: int = Field(50_000, ge=1)
    size: Size = 128 * MiB


class SyncerSettings(Section):
    workers: Annotated[int, Field(ge=1, le=256)] = 8
    batch: BatchSettings = BatchSettings()
    max_buffered: BufferSettings = BufferSettings()
    on_error: Literal["dead_letter", "stop"] = "dead_letter"
    on_delete: Literal["delete", "soft", "ignore"] = "delete"
    on_unsupported_value: Literal["adjust", "dead_letter"] = Field(
        "adjust", description="what PostgreSQL cannot hold (NUL in strings, NaN in jsonb): see README, Values"
    )
    jsonb_format: Literal["natural", "ejson"] = "natural"
    tombstone_retention: Duration = 14 * 86400.0
    shutdown_timeout: Duration = 25.0


class RetrySettings(Section):
    """Waits grow from `initial` by `multiplier` up to `max_delay`; any progress starts the count again."""

    max_attempts: int = Field(100, ge=1)
    initial: Duration = 0.2
    multiplier: float = Field(2.0, ge=1, le=100)
    max_delay: Duration = 10.0
    jitter: float = Field(0.3, ge=0, le=1)
    give_up_after: Duration = 600.0


class DeadLetterSettings(Section):
    topic: str = "cdc.dlq.{name}"
    max_fraction: float = Field(0.05, gt=0, le=1)
    max_replays: int = Field(3, ge=0)


class AlertSettings(Section):
    webhook: SecretStr | None = None


class LoggingSettings(Section):
    level: Literal["debug", "info", "warn", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class HttpSettings(Section):
    enabled: bool = False
    bind: str = "127.0.0.1:9464"


class Settings(Section):
    """cdc.yaml as a whole."""

    version: Literal[1] = 1
    name: str = Field("cdc", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    mongodb: MongoSettings
    kafka: KafkaSettings
    postgres: PostgresSettings
    token_store: TokenStoreSettings = TokenStoreSettings()
    watcher: WatcherSettings = WatcherSettings()
    syncer: SyncerSettings = SyncerSettings()
    mappings: list[dict[str, object]] = Field([], max_length=0, description="typed mappings: not available yet")
    retry: RetrySettings = RetrySettings()
    dead_letter: DeadLetterSettings = DeadLetterSettings()
    alerts: AlertSettings = AlertSettings()
    logging: LoggingSettings = LoggingSettings()
    http: HttpSettings = HttpSettings()

    @property
    def group_id(self) -> str:
        """The consumer group of `cdc sync`."""
        return self.kafka.consumer.group_id or f"cdc-sync-{self.name}"

    @property
    def dead_letter_topic(self) -> str:
        """The topic that keeps what could not be processed."""
        return self.dead_letter.topic.replace("{name}", self.name)

    @property
    def redis_prefix(self) -> str:
        """What every key of ours in Redis starts with."""
        return self.token_store.redis.key_prefix.replace("{name}", self.name)
