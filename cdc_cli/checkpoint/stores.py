"""Settings -> the TokenStore they ask for."""

from __future__ import annotations

from collections.abc import Callable

from cdc_cli import __version__
from cdc_cli.checkpoint import TokenStore
from cdc_cli.checkpoint.siblings import key_prefix, token_path
from cdc_cli.clock import Clock
from cdc_cli.settings.models import Settings


def make_store(settings: Settings, clock: Clock, wait: Callable[[float], bool]) -> TokenStore:
    """The store of the configured shard; nothing is opened yet. The redis driver is imported only when it is asked for.

    `wait(seconds)` sleeps and returns True when the process shall stop, as `threading.Event.wait` does.
    Raises ConfigError.
    """
    options = settings.token_store
    if options.backend == "file":
        from cdc_cli.checkpoint.file import FileTokenStore

        path = token_path(settings, settings.shard)
        return FileTokenStore(path, options.history, __version__, wait)
    from cdc_cli.checkpoint.redis import RedisTokenStore

    url = options.redis.url.get_secret_value()
    prefix, lease = key_prefix(settings, settings.shard), options.redis.lease
    return RedisTokenStore(url, prefix, lease, options.history, __version__, clock, wait)
