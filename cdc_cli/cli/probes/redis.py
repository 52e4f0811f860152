"""Redis: it answers, runs scripts for us, and keeps what it is given."""

from __future__ import annotations

from cdc_cli.checkpoint.redisclient import RedisClient
from cdc_cli.cli.probes import Answer
from cdc_cli.settings.models import Settings


def probe(settings: Settings, seconds: float) -> Answer:
    """Runs a script that changes nothing. Blocks for ten seconds; raises ConfigError, Denied, Retryable."""
    client = RedisClient(settings.token_store.redis.url.get_secret_value())
    try:
        client.eval("return redis.call('EXISTS', KEYS[1])", [f"{settings.redis_prefix}token"], [])
        warnings = client.durability_warnings()
    finally:
        client.close()
    return Answer(f"{client.address}; scripts run, keys begin with {settings.redis_prefix}", tuple(warnings))
