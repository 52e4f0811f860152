"""What librdkafka reports, sorted by what the caller should do (requirement R12.5)."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

from cdc_cli.errors import CdcError, ConfigError, Denied, ExitCode, Fatal, PoisonEvent, PositionLost, Retryable

_POISON = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_MSG,
        KafkaError.POLICY_VIOLATION,
    }
)
_DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)
_SETTINGS = frozenset(
    {
        KafkaError._INVALID_ARG,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_SESSION_TIMEOUT,
        KafkaError.INVALID_GROUP_ID,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    }
)
_POSITION = frozenset({KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET, KafkaError._NO_OFFSET})


_VERIFY_FAILED = "certificate verify failed"
_REASONS = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})


class Reasons:
    """Why no broker lets us in: librdkafka tells it to `error_cb`, and not to the call that waits in vain."""

    def __init__(self) -> None:
        self._last: KafkaError | None = None

    def note(self, error: KafkaError) -> None:
        """The value of `error_cb`; called inside `poll`, `consume` and `flush`."""
        if error.code() in _REASONS:
            self._last = error

    def behind(self, exc: Exception) -> Exception:
        """The reason behind the exception if one is known, otherwise the exception."""
        return exc if self._last is None else KafkaException(self._last)


def translate(doing: str, exc: BaseException) -> CdcError:
    """The error for `doing` (a present participle); the caller raises it `from exc`."""
    if isinstance(exc, CdcError):
        return exc
    if not isinstance(exc, KafkaException) or not exc.args or not isinstance(exc.args[0], KafkaError):
        if isinstance(exc, KafkaException | OSError | BufferError):
            return Retryable(f"{doing}: {exc}", "check that the brokers are up and reachable from here")
        return Fatal(f"{doing}: unexpected {type(exc).__name__}: {exc}", exit_code=ExitCode.BUG)
    error = exc.args[0]
    said = f"{error.name()}: {error.str()}"
    if error.code() in _POISON:
        return PoisonEvent(f"{doing}: the broker refused this record ({said})", code="kafka.record_refused")
    if error.code() in _DENIED:
        return Denied(f"{doing}: Kafka refused ({said})", "check kafka.security and the ACLs of this user")
    if error.code() == KafkaError._SSL and _VERIFY_FAILED in error.str():
        hint = "check kafka.security: ca_file, and that kafka.bootstrap_servers has the names in the certificates"
        return ConfigError(f"{doing}: no TLS with the broker ({said})", hint, "kafka.tls")
    if error.code() in _POSITION:
        return PositionLost(f"{doing}: {said}", "see README, When a position is lost")
    if error.code() in _SETTINGS:
        return ConfigError(f"{doing}: {said}", "check the kafka section of the configuration", "kafka.settings")
    return Retryable(
        f"{doing}: {said}",
        "check that the brokers in kafka.bootstrap_servers are up and reachable from here, "
        "and expect what kafka.security says",
    )
