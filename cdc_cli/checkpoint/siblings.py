"""The tokens of the other shards: where they lie, and whether this start would lose changes without them.

A token belongs to one shard, so whoever changes the number of shards begins with shards that have none. To start
those 'now' would lose everything since the old tokens, without a word; so it is refused (invariant I2).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from cdc_cli.checkpoint.disk import translated
from cdc_cli.errors import PositionLost
from cdc_cli.observe.log import EventLog
from cdc_cli.settings.models import Settings
from cdc_cli.settings.shard import MOST, Shard, all_shards, shard_of_slug

log = EventLog(__name__)

_EXIST = """
local found = {}
for i, key in ipairs(KEYS) do found[i] = redis.call('EXISTS', key) end
return found
"""


def token_path(settings: Settings, shard: Shard | None) -> Path:
    """`token_store.file.path`, with the shard before the suffix: `cdc-token.shard-1-of-4.json`."""
    path = Path(settings.token_store.file.path).expanduser()
    return path if shard is None else path.with_name(f"{path.stem}.{shard.slug}{path.suffix}")


def key_prefix(settings: Settings, shard: Shard | None) -> str:
    """What the keys of the shard's token begin with in Redis: `cdc:game:shard-1-of-4:`."""
    return settings.redis_prefix if shard is None else f"{settings.redis_prefix}{shard.slug}:"


def stored_shards(settings: Settings) -> set[Shard | None]:
    """Whose tokens there are; None is the token of a watcher without shards.

    Blocks for the store; raises Retryable, Denied, ConfigError.
    """
    return _in_files(settings) if settings.token_store.backend == "file" else _in_redis(settings)


def check_siblings(settings: Settings, is_first_start: bool) -> None:
    """Refuse a first start next to the tokens of another division; say which shards have no token yet.

    Raises PositionLost, and what `stored_shards` raises.
    """
    shard = settings.shard
    if shard is None and not is_first_start:
        return
    stored = stored_shards(settings)
    others = {other for other in stored if _count(other) != _count(shard)}
    if is_first_start and others:
        raise PositionLost(
            f"{_name(shard)} has no resume token, but there are tokens of another division of the documents: "
            f"{_names(others)}; to start anew would lose the changes since then",
            "stop all watchers; `cdc token show --shard '*/N'` tells the earliest position of the old ones, and "
            "`cdc token reset --shard i/n --to-datetime ...` sets it for each new one; README, Shards, has "
            "it step by step",
            code="token.resharded",
        )
    if shard is not None and (missing := set(all_shards(shard.total)) - stored - {shard}):
        log.warn(
            "shards.missing",
            "of %d shards these have no token in this store yet: %s; is a watcher running for each of them?",
            shard.total,
            _names(missing),
        )


def _in_files(settings: Settings) -> set[Shard | None]:
    whole = token_path(settings, None)
    found: set[Shard | None] = {None} if whole.exists() else set()
    try:
        names = [path.name for path in whole.parent.iterdir()] if whole.parent.is_dir() else []
    except OSError as exc:
        raise translated(exc, f"cannot look for the tokens of other shards beside {whole}") from exc
    for name in names:
        if name.startswith(f"{whole.stem}.") and name.endswith(whole.suffix):
            slug = name[len(whole.stem) + 1 : len(name) - len(whole.suffix)]
            shard = shard_of_slug(slug)
            found |= {shard} if shard is not None else set()
    return found


def _in_redis(settings: Settings) -> set[Shard | None]:
    """Asks for all names there can be, in one call: to search a large Redis for keys would be slower."""
    from cdc_cli.checkpoint.redisclient import RedisClient

    candidates: list[Shard | None] = [None]
    for count in range(1, MOST + 1):
        candidates += all_shards(count)
    client = RedisClient(settings.token_store.redis.url.get_secret_value())
    try:
        found = client.eval(_EXIST, [f"{key_prefix(settings, shard)}token" for shard in candidates], [])
    finally:
        client.close()
    return {shard for shard, exists in zip(candidates, found, strict=True) if exists}


def _count(shard: Shard | None) -> int:
    return 0 if shard is None else shard.total


def _name(shard: Shard | None) -> str:
    return "the watcher without shards" if shard is None else f"shard {shard.text}"


def _names(shards: Collection[Shard | None]) -> str:
    return ", ".join(_name(shard) for shard in sorted(shards, key=lambda shard: shard or Shard(0, 0)))
