"""A shard `i/n`: one of n watchers that share the documents of one stream among themselves. Pure.

How documents are divided is in `capture/slice.py`; here is only the name, as it is configured and as it stands in
file names and keys.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MOST = 64
"""Each shard reads the whole oplog, so more of them only load MongoDB."""
PATTERN = r"^[1-9][0-9]?/[1-9][0-9]?$"
_SLUG = re.compile(r"shard-([1-9][0-9]?)-of-([1-9][0-9]?)")


class Shard(NamedTuple):
    """Number (from 1) and how many there are."""

    number: int
    total: int

    @property
    def text(self) -> str:
        """`1/4`."""
        return f"{self.number}/{self.total}"

    @property
    def slug(self) -> str:
        """`shard-1-of-4`: for names of files and keys, where a slash means something."""
        return f"shard-{self.number}-of-{self.total}"


def parse_shard(text: str) -> Shard:
    """The shard that `1/4` names; raises ValueError."""
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"expected a shard such as 1/4, of at most {MOST}")
    number, count = map(int, text.split("/"))
    if number > count or count > MOST:
        raise ValueError(f"expected i/n with i from 1 to n, and n at most {MOST}")
    return Shard(number, count)


def shard_of_slug(slug: str) -> Shard | None:
    """The inverse of `slug`, None for other text."""
    match = _SLUG.fullmatch(slug)
    return Shard(int(match[1]), int(match[2])) if match else None


def all_shards(count: int) -> list[Shard]:
    """1/n, 2/n ... n/n."""
    return [Shard(number, count) for number in range(1, count + 1)]


def checked(text: str) -> str:
    """The text itself if it names a shard; raises ValueError."""
    return parse_shard(text).text
