"""Settings -> the TokenStore they ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cdc_cli import __version__
from cdc_cli.checkpoint import TokenStore
from cdc_cli.clock import Clock
from cdc_cli.settings.models import Settings


def make_store(settings: Settings, clock: Clock, wait: Callable[[float], bool]) -> TokenStore:
    """Builds it; nothing is opened yet. The redis driver is imported only when it is asked for.

    `wait(seconds)` sleeps and returns True when the process shall stop, as `threading.Event.wait` does.
    Raises ConfigError.
    """
    options = settings.token_store
    if options.backend == "file":
        from cdc_cli.checkpoint.file import FileTokenStore

        path = Path(options.file.path).expanduser()
        return FileTokenStore(path, options.history, __version__, wait)
    from cdc_cli.checkpoint.redis import RedisTokenStore

    url = options.redis.url.get_secret_value()
    prefix, lease = settings.redis_prefix, options.redis.lease
    return RedisTokenStore(url, prefix, lease, options.history, __version__, clock, wait)
