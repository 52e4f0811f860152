"""The token file: a folder in which we can write. Nothing is created."""

from __future__ import annotations

import os

from cdc_cli.checkpoint.siblings import token_path
from cdc_cli.cli.probes import Answer
from cdc_cli.errors import ConfigError
from cdc_cli.settings.models import Settings


def probe(settings: Settings, seconds: float) -> Answer:
    """Looks at the folder, or at its nearest parent that exists. Raises ConfigError."""
    file = token_path(settings, settings.shard)
    folder = next(parent for parent in file.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(
            f"cannot write {file}: {folder} is not a folder that this user can write to",
            "another token_store.file.path, or the owner of that folder",
            "token_store.file",
        )
    return Answer(f"{file}; {'is there' if file.exists() else 'can be written'}")
