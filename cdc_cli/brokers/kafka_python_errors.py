"""What kafka-python raises, sorted by what the caller should do (requirement R12.5)."""

from __future__ import annotations

from kafka import errors as kafka_errors

from cdc_cli.errors import CdcError, ConfigError, Denied, ExitCode, Fatal, PoisonEvent, Retryable

_POISON = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.InvalidRecordError,
    kafka_errors.InvalidTimestampError,
    kafka_errors.CorruptRecordError,
    kafka_errors.PolicyViolationError,
)
_AUTHENTICATION = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.IllegalSaslStateError,
    kafka_errors.UnsupportedSaslMechanismError,
)
_SETTINGS = (
    kafka_errors.KafkaConfigurationError,
    kafka_errors.InvalidTopicError,
    kafka_errors.InvalidReplicationFactorError,
    kafka_errors.InvalidPartitionsError,
    kafka_errors.InvalidConfigurationError,
    kafka_errors.UnsupportedCodecError,
    kafka_errors.UnrecognizedBrokerVersion,
)


def translate(doing: str, exc: BaseException) -> CdcError:
    """The error for `doing` (a present participle: "publishing to Kafka"); the caller raises it `from exc`."""
    said = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    if isinstance(exc, CdcError):
        return exc
    if isinstance(exc, _POISON):
        return PoisonEvent(f"{doing}: the broker refused this record ({said})", code="kafka.record_refused")
    if isinstance(exc, kafka_errors.AuthorizationError):
        return Denied(f"{doing}: not authorized ({said})", "grant the ACL to this user (README, Rights)")
    if isinstance(exc, _AUTHENTICATION):
        return Denied(f"{doing}: Kafka refused the login ({said})", "check kafka.security: mechanism, user, password")
    if isinstance(exc, _SETTINGS):
        return ConfigError(f"{doing}: {said}", "check the kafka section of the configuration", "kafka.settings")
    if isinstance(exc, kafka_errors.KafkaError | OSError):
        return Retryable(
            f"{doing}: {said}", "check that the brokers in kafka.bootstrap_servers are up and reachable from here"
        )
    return Fatal(f"{doing}: unexpected {said}", exit_code=ExitCode.BUG)
