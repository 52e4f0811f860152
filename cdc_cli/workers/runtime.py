"""The interpreter, tuned for a process that makes millions of short-lived objects and few cycles."""

from __future__ import annotations

import gc


def tune_collector() -> None:
    """Look for garbage cycles rarely, and never among what exists already.

    With the default threshold the cyclic collector takes 15 to 20 % of the read loop, looking again and again at
    decoded documents, which hold no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
