"""The bench on this machine: the temporary folder of a run, which holds its tokens."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from cdc_cli.bench.names import PREFIX, Run
from cdc_cli.bench.things import Kind, Thing, found
from cdc_cli.errors import CdcError, Retryable


def make_folder(run: Run) -> Path:
    """Readable by this user only."""
    return Path(tempfile.mkdtemp(prefix=f"{run}_"))


class FolderSite:
    """A `Site`: this user's folders in the directory for temporary files."""

    kinds: tuple[Kind, ...] = (Kind.FOLDER,)

    def find(self, run: Run | None) -> list[Thing]:
        place = Path(tempfile.gettempdir())
        mine = [path.name for path in place.glob(f"{PREFIX}*") if path.is_dir() and path.lstat().st_uid == os.getuid()]
        return [thing._replace(name=str(place / thing.name)) for thing in found(Kind.FOLDER, mine, run)]

    def remove(self, thing: Thing) -> None:
        try:
            shutil.rmtree(thing.name)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise _refused(exc) from exc

    def close(self) -> None:
        """Nothing is open."""


def _refused(exc: OSError) -> CdcError:
    return Retryable(f"removing a folder: {exc}", code="bench.folder")
