"""Apache Kafka with TLS, SCRAM and access control: a door per way to come in."""

from __future__ import annotations

from pathlib import Path

from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from cdc_cli.demo.servers import ApacheKafka, Listener
from cdc_cli.demo.servers.process import free_port
from tests.support.tls import Authority

_LOGIN_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


class SecureKafka(ApacheKafka):
    """`tls` and `login` are the addresses for SSL and SASL_SSL, with a certificate for 127.0.0.1 only.

    Whoever comes without a login may do everything; a user made by `add_user` has what ACLs grant.
    """

    def __init__(self, folder: Path, authority: Authority) -> None:
        pem = str(authority.certificate("127.0.0.1"))
        super().__init__(
            folder,
            listeners=[Listener("TLS", free_port(), "SSL"), Listener("LOGIN", free_port(), "SASL_SSL")],
            properties={
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": pem,
                "sasl.enabled.mechanisms": "SCRAM-SHA-512",
                "listener.name.login.scram-sha-512.sasl.jaas.config": _LOGIN_MODULE,
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS",
                "group.min.session.timeout.ms": "1000",
            },
        )

    @property
    def tls(self) -> str:
        return self.listeners[1].reached_at

    @property
    def login(self) -> str:
        return self.listeners[2].reached_at

    def add_user(self, name: str, password: str) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            credential = UserScramCredentialUpsertion(name, ScramMechanism.SCRAM_SHA_512, password)
            errors = admin.alter_user_scram_credentials([credential])
        finally:
            admin.close()
        assert errors == {name: None}

    def allow_everything(self, user: str) -> None:
        """All operations on all topics, groups and the cluster."""
        names = {ResourceType.TOPIC: "*", ResourceType.GROUP: "*", ResourceType.CLUSTER: "kafka-cluster"}
        self.allow(user, *((resource, name, ACLOperation.ALL) for resource, name in names.items()))

    def allow(self, user: str, *grants: tuple[ResourceType, str, ACLOperation]) -> None:
        """Grants as (resource, name, operation); a name that ends with `.` or `-` is a prefix."""
        who, allow = f"User:{user}", ACLPermissionType.ALLOW
        acls = [
            ACL(who, "*", operation, allow, ResourcePattern(resource, name, _pattern(name)))
            for resource, name, operation in grants
        ]
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            result = admin.create_acls(acls)
        finally:
            admin.close()
        assert not result["failed"], result


def _pattern(name: str) -> ACLResourcePatternType:
    return ACLResourcePatternType.PREFIXED if name.endswith((".", "-")) else ACLResourcePatternType.LITERAL
