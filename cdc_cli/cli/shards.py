"""`--shard`, as `cdc watch` and `cdc token` take it."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from cdc_cli.settings.shard import Shard, all_shards, parse_shard


def with_shard(overrides: Sequence[str] | None, shard: str | None) -> list[str]:
    """`--shard i/n` is `--set watcher.shard=i/n` said shorter."""
    return [*(overrides or []), *([f"watcher.shard={shard}"] if shard is not None else [])]


def shards_of(text: str | None) -> tuple[list[Shard], str | None]:
    """All shards when it is `*/n`, and otherwise none and the text. Raises typer.BadParameter."""
    if text is None or not text.startswith("*/"):
        return [], text
    try:
        return all_shards(parse_shard(f"1{text[1:]}").total), None
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--shard") from exc
