"""What kafka-python raises, sorted by what the caller should do (requirement R12.5)."""

from __future__ import annotations

import re

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
    kafka_errors.InvalidSessionTimeoutError,
    kafka_errors.InvalidGroupIdError,
    kafka_errors.InconsistentGroupProtocolError,
)


_TOLD = re.compile(r"""failed with response .*?error_message=(?:'([^']+)'|"([^"]+)")""", re.DOTALL)
_TLS = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER")
"""In the text of a failed handshake: what a retry does not mend. A connection lost meanwhile reads otherwise."""


def translate(doing: str, exc: BaseException) -> CdcError:
    """The error for `doing` (a present participle: "publishing to Kafka"); the caller raises it `from exc`."""
    said = reason(exc)
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
    if isinstance(exc, kafka_errors.KafkaConnectionError) and any(word in said for word in _TLS):
        hint = "check kafka.security: ca_file, and that kafka.bootstrap_servers has the names in the certificates"
        return ConfigError(f"{doing}: no TLS with the broker ({said})", hint, "kafka.tls")
    if isinstance(exc, kafka_errors.KafkaError | OSError):
        return Retryable(
            f"{doing}: {said}",
            "check that the brokers in kafka.bootstrap_servers are up and reachable from here, "
            "and expect what kafka.security says",
        )
    return Fatal(f"{doing}: unexpected {said}", exit_code=ExitCode.BUG)


def reason(exc: BaseException) -> str:
    """The kind of error and what the broker said. The driver puts the kind in front more than once, and shows
    whole requests and responses.
    """
    kind = type(exc).__name__
    if told := _TOLD.search(str(exc)):
        return f"{kind}: {told[1] or told[2]}"
    text = re.sub(rf"^(?:\[Error -?\d+\] |{kind}(?:: |$))+", "", str(exc))
    return f"{kind}: {text}" if text else kind
