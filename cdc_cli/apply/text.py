"""What PostgreSQL's jsonb cannot hold, adjusted and counted, or refused; never changed in silence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from cdc_cli.errors import PoisonEvent

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_UNHOLDABLE: Final = re.compile("[\0\ud800-\udfff]")


class Adjuster:
    """One policy and its counts; not thread-safe.

    Kinds: `nul` and `surrogate` (characters replaced by U+FFFD, counted per string or field name), `name` (a
    field renamed because that made it equal to another), `non_finite` (NaN and infinities become strings),
    `negative_zero` (-0.0 becomes 0.0). With `refuse` each raises PoisonEvent `value.unsupported` instead.
    """

    def __init__(self, refuse: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._refuse = refuse

    def text(self, text: str) -> str:
        """`text` without NUL and lone surrogates."""
        if not _UNHOLDABLE.search(text):
            return text
        if "\0" in text:
            self._count("nul", "a string or field name holds a NUL character")
        if _UNHOLDABLE.search(text.replace("\0", "")):
            self._count("surrogate", "a string or field name holds text that is not UTF-8")
        return _UNHOLDABLE.sub(_REPLACEMENT, text)

    def double(self, value: float) -> float | str:
        """A finite double that is not -0.0, or its replacement."""
        if value - value != 0.0:
            self._count("non_finite", "a number is NaN or infinite")
            return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
        if value == 0.0 and str(value)[0] == "-":
            self._count("negative_zero", "a number is -0.0")
            return 0.0
        return value

    def names(self, fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        """Those fields with clean names; a name that is taken gets `~2`, `~3`, ...: no value is lost."""
        document = dict(fields)
        if not any(map(_UNHOLDABLE.search, document)):
            return document
        taken = {name for name in document if not _UNHOLDABLE.search(name)}
        clean: dict[str, Any] = {}
        for name, value in document.items():
            if _UNHOLDABLE.search(name):
                name = self._free(self.text(name), taken)
                taken.add(name)
            clean[name] = value
        return clean

    def tree(self, value: Any) -> Any:
        """Plain parsed JSON with clean texts and names; numbers and everything else as they are."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.tree(item) for item in value]
        if isinstance(value, dict):
            return self.names((name, self.tree(item)) for name, item in value.items())
        return value

    def _free(self, name: str, taken: set[str]) -> str:
        if name not in taken:
            return name
        self._count("name", "two field names are the same without what PostgreSQL cannot hold")
        number = 2
        while f"{name}~{number}" in taken:
            number += 1
        return f"{name}~{number}"

    def _count(self, kind: str, reason: str) -> None:
        if self._refuse:
            raise PoisonEvent(
                f"PostgreSQL cannot hold the document as jsonb: {reason}",
                hint="set syncer.on_unsupported_value to adjust, to replace such values and count them",
                code="value.unsupported",
            )
        self.counts[kind] += 1
