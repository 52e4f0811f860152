"""Every key of cdc.yaml, its default and its meaning, as frozen models. `Settings` is the root.

Only what the program really does stands here: an unknown key is an error. Secrets are `SecretStr` and print
as asterisks. A `*_file` twin is resolved by the loader before validation, so it has no field here;
`SECRET_KEYS` in `secrets.py` lists them. The line under each key is its description in the JSON Schema.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from cdc_cli.settings.shard import PATTERN, Shard, checked, parse_shard
from cdc_cli.settings.units import Duration, Size

MiB = 1 << 20


class Section(BaseModel):
    """A mapping in cdc.yaml: immutable once loaded, no unknown keys, defaults checked like given values."""

    model_config = ConfigDict(frozen=True, extra="forbid")


OperationName = Literal["insert", "update", "replace", "delete"]


class MongoSettings(Section):
    """The source: which deployment, which database and collections, what an event carries."""

    uri: SecretStr
    """Connection string of a replica set or sharded cluster."""
    database: str | None = Field(None, min_length=1)
    """The database to watch; null = the whole deployment."""
    collections: list[str] | None = Field(None, min_length=1)
    """Names or globs with * and ?, matched by the server; null = all."""
    operations: list[OperationName] = Field(["insert", "update", "replace", "delete"], min_length=1)
    """The kinds of change to capture."""
    full_document: Literal["default", "updateLookup", "whenAvailable", "required"] = "updateLookup"
    """Whether an update carries the document: none, looked up, or its post-image."""
    pre_images: Literal["none", "whenAvailable", "required"] = "none"
    """Whether an event carries the document as it was before."""


class KafkaSecurity(Section):
    """How to talk to the brokers; the same keys for both client libraries."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """SSL encrypts, SASL logs in."""
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    """How to log in; needed with SASL."""
    username: str | None = None
    """Needed with SASL."""
    password: SecretStr | None = None
    """Needed with SASL."""
    ca_file: str | None = None
    """PEM file of the authority that signed the brokers' certificates; null = those of the system."""
    certificate_file: str | None = None
    """PEM file of the client's certificate, for brokers that ask for one."""
    key_file: str | None = None
    """PEM file of its private key."""
    check_hostname: bool = True
    """Whether the broker's certificate must carry its name."""


class TopicSettings(Section):
    """How missing topics are created; existing topics are never changed."""

    enabled: bool = True
    """Whether to create missing topics at all."""
    partitions: int = Field(12, ge=1, le=10_000)
    """Partitions per topic: the most sync processes that can share it."""
    replication_factor: int = Field(1, ge=1, le=100)
    """Copies of every record; 3 where there are three brokers."""
    retention: Duration = 7 * 86400.0
    """How long records are kept: the longest outage of sync that loses nothing."""
    max_message_size: Size = 20 * MiB
    """The largest record the topic takes; a 16 MiB document needs more than 16 MiB."""


class ProducerSettings(Section):
    """Batching towards the brokers. Durability is not an option: acks=all, idempotent."""

    linger: Duration = 0.005
    """How long a batch waits for more records."""
    batch_size: Size = 512 * 1024
    """The largest batch per partition."""
    compression: Literal["none", "lz4", "zstd", "gzip", "snappy"] = "none"
    """How batches are compressed."""


class ConsumerSettings(Section):
    """The consumer group that shares the partitions among `cdc sync` processes."""

    group_id: str | None = Field(None, min_length=1)
    """The group; null = cdc-sync-{name}."""
    session_timeout: Duration = 45.0
    """A process silent for so long loses its partitions."""
    max_poll_interval: Duration = 300.0
    """A process that takes no records for so long loses its partitions."""


class KafkaSettings(Section):
    """The transport: brokers, topics, producer and consumer."""

    bootstrap_servers: list[str] = Field(min_length=1)
    """Some brokers as host:port; the others are learned from them."""
    client: Literal["auto", "kafka-python", "confluent"] = "auto"
    """The client library; auto = confluent when it is installed."""
    topic: str = Field("cdc.{database}.{collection}", min_length=1)
    """The topic of a collection; {database}, {collection} and {name} are replaced."""
    security: KafkaSecurity = KafkaSecurity()
    create_topics: TopicSettings = TopicSettings()
    producer: ProducerSettings = ProducerSettings()
    consumer: ConsumerSettings = ConsumerSettings()


class PoolSettings(Section):
    """Connections to PostgreSQL; when all are in use, the next one waits."""

    min: int = Field(10, ge=1)
    """Connections kept open."""
    max: int = Field(50, ge=1)
    """Connections at most."""
    acquire_timeout: Duration = 30.0
    """How long to wait for a free one."""


class PostgresSettings(Section):
    """The target."""

    dsn: SecretStr
    """libpq connection string or postgresql:// URL."""
    schema_: str = Field("public", alias="schema", min_length=1)
    """The schema with one table per collection."""
    pool: PoolSettings = PoolSettings()
    statement_timeout: Duration = 30.0
    """The longest a statement may take."""
    max_concurrent_writes: int = Field(0, ge=0)
    """Transactions at once; 0 = twice the cores of this machine."""


class FileStoreSettings(Section):
    """The resume token in a file."""

    path: str = Field("./state/cdc-token.json", min_length=1)
    """The file; relative to the working directory. On a disk that survives a restart."""


class RedisStoreSettings(Section):
    """The resume token in Redis or Valkey, which must persist (appendonly yes)."""

    url: SecretStr = SecretStr("redis://localhost:6379/0")
    """redis://, rediss:// or unix:// URL."""
    key_prefix: str = Field("cdc:{name}:", min_length=1)
    """What every key starts with; {name} is replaced."""
    lease: Duration = 15.0
    """Another watcher takes over after this long without a renewal."""


class TokenStoreSettings(Section):
    """Where `cdc watch` keeps the place to go on from."""

    backend: Literal["file", "redis"] = "file"
    """Which of the two stores."""
    file: FileStoreSettings = FileStoreSettings()
    redis: RedisStoreSettings = RedisStoreSettings()
    history: int = Field(50, ge=0, le=10_000)
    """Earlier tokens kept for `cdc token history` and `restore`."""


class InFlightSettings(Section):
    """Read from MongoDB and not yet acknowledged by Kafka: the reader waits when either bound is reached."""

    events: int = Field(20_000, ge=1)
    """Events at most."""
    size: Size = 64 * MiB
    """Bytes at most."""


class WatcherSettings(Section):
    """`cdc watch`: MongoDB to Kafka."""

    start_from: str = "now"
    """now | oldest | ISO-8601 time; only used when no token is stored."""
    on_position_lost: Literal["fail", "skip_to_now"] = "fail"
    """When the stored token has fallen off the oplog: stop, or skip what is lost."""
    on_oversized_event: Literal["dead_letter", "fail"] = "dead_letter"
    """When an event is larger than Kafka takes; one over MongoDB's own 16 MB is read without its document first."""
    max_in_flight: InFlightSettings = InFlightSettings()
    shard: Annotated[str, Field(pattern=PATTERN), AfterValidator(checked)] | None = None
    """i/n = one of n watchers, each with its share of the documents and a token of its own; null = all documents."""
    heartbeat: Duration = 10.0
    """How often the token is saved on a quiet stream."""
    standby: bool = False
    """Wait while another watcher holds the token, and take over when it is gone, instead of exiting with 75."""
    shutdown_timeout: Duration = 25.0
    """The longest that draining may take; less than the grace period of systemd or Kubernetes."""


class BatchSettings(Section):
    """When a worker writes what it has collected, and how."""

    max_rows: int = Field(1000, ge=1, le=100_000)
    """At so many rows ..."""
    max_wait: Duration = 0.5
    """... or after this long, whichever is first."""
    copy_threshold: int = Field(100, ge=0)
    """More rows than this go by COPY, others by one prepared INSERT."""


class BufferSettings(Section):
    """Consumed from Kafka, not yet written to PostgreSQL: partitions pause when either bound is reached."""

    events: int = Field(50_000, ge=1)
    """Events at most."""
    size: Size = 64 * MiB
    """Bytes at most."""


class SyncerSettings(Section):
    """`cdc sync`: Kafka to PostgreSQL."""

    workers: Annotated[int, Field(ge=1, le=256)] = 8
    """Threads that write; also --workers."""
    batch: BatchSettings = BatchSettings()
    max_buffered: BufferSettings = BufferSettings()
    on_error: Literal["dead_letter", "stop"] = "dead_letter"
    """When an event cannot be applied: keep it in the dead-letter topic and go on, or stop."""
    on_delete: Literal["delete", "soft", "ignore"] = "delete"
    """delete = remove the row, soft = set cdc_deleted_at, ignore = keep it as it is."""
    on_unsupported_value: Literal["adjust", "dead_letter"] = "adjust"
    """What PostgreSQL cannot hold (NUL in strings, NaN in jsonb); see README, Values."""
    jsonb_format: Literal["natural", "ejson"] = "natural"
    """natural = ObjectIds and dates as plain strings, ejson = Extended JSON."""
    tombstone_retention: Duration = 14 * 86400.0
    """How long a deletion is remembered; longer than Kafka keeps records."""
    shutdown_timeout: Duration = 25.0
    """The longest that draining may take; less than the grace period of systemd or Kubernetes."""


class RetrySettings(Section):
    """Waits grow from `initial` by `multiplier` up to `max_delay`; any progress starts the count again."""

    max_attempts: int = Field(100, ge=1)
    """Then the process stops with an alert."""
    initial: Duration = 0.2
    """The first wait."""
    multiplier: float = Field(2.0, ge=1, le=100)
    """Each wait is so many times the one before."""
    max_delay: Duration = 10.0
    """The longest wait."""
    jitter: float = Field(0.3, ge=0, le=1)
    """The share of each wait that is random."""
    give_up_after: Duration = 600.0
    """The longest time without progress; then the process stops with an alert."""


class DeadLetterSettings(Section):
    """What could not be processed, kept in a Kafka topic with its original bytes."""

    topic: str = Field("cdc.dlq.{name}", min_length=1)
    """The topic; {name} is replaced."""
    max_fraction: float = Field(0.05, gt=0, le=1)
    """A larger share of failing events is an outage: stop instead of filling the topic."""
    max_replays: int = Field(3, ge=0)
    """How often one dead letter may be replayed."""


class AlertSettings(Section):
    """Who is told when a worker gives up."""

    webhook: SecretStr | None = None
    """A JSON message is POSTed to this http(s) URL; null = nobody."""


class LoggingSettings(Section):
    """Logs go to standard error."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    """The least severe level that is written."""
    format: Literal["auto", "console", "json"] = "auto"
    """auto = console on a terminal, JSON elsewhere."""


class HttpSettings(Section):
    """A small read-only server: /livez /readyz /metrics /status."""

    enabled: bool = False
    """Whether it runs."""
    bind: str = "127.0.0.1:9464"
    """Address and port."""


class Settings(Section):
    """cdc.yaml as a whole."""

    version: Literal[1] = 1
    """The format of this file."""
    name: str = Field("cdc", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """The pipeline: service name in logs, part of the group id, key prefix and dead-letter topic."""
    mongodb: MongoSettings
    kafka: KafkaSettings
    postgres: PostgresSettings
    token_store: TokenStoreSettings = TokenStoreSettings()
    watcher: WatcherSettings = WatcherSettings()
    syncer: SyncerSettings = SyncerSettings()
    mappings: list[dict[str, object]] = Field([], max_length=0)
    """Typed mappings of collections to tables: not available yet."""
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
    def shard(self) -> Shard | None:
        """The share of this watcher, None = all documents."""
        return None if self.watcher.shard is None else parse_shard(self.watcher.shard)

    def for_shard(self, shard: Shard | None) -> Settings:
        """The same for another shard."""
        watcher = self.watcher.model_copy(update={"shard": shard and shard.text})
        return self.model_copy(update={"watcher": watcher})

    @property
    def redis_prefix(self) -> str:
        """What every key of ours in Redis starts with."""
        return self.token_store.redis.key_prefix.replace("{name}", self.name)
