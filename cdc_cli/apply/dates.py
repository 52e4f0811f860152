"""ISO 8601 for every date that BSON can hold: 64-bit milliseconds, about 292 million years either way."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from bson import DatetimeMS

_EPOCH: Final = datetime(1970, 1, 1)
_MS_PER_DAY: Final = 86_400_000
_DAYS_PER_ERA: Final = 146_097
"""In the 400 years after which the Gregorian calendar repeats."""


def iso_date(value: datetime | DatetimeMS) -> str:
    """UTC, always three decimals: `2026-01-02T03:04:05.678Z`; expanded years outside 0-9999:
    `+010000-01-01T...`.

    Proleptic Gregorian; year 0 is 1 BC, as in ISO 8601 and JavaScript. `datetime` must be naive UTC.
    """
    if isinstance(value, datetime):
        return value.isoformat("T", "milliseconds") + "Z"
    days, ms = divmod(int(value), _MS_PER_DAY)
    era, day_of_era = divmod(days + _EPOCH.toordinal() - 1, _DAYS_PER_ERA)
    # The calendar of any 400 years is that of the years 1-400.
    date = datetime.fromordinal(day_of_era + 1)
    time = f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}Z"
    return f"{_year(date.year + 400 * era)}-{date.month:02d}-{date.day:02d}T{time}"


def _year(year: int) -> str:
    if 0 <= year <= 9999:
        return f"{year:04d}"
    return f"{'-' if year < 0 else '+'}{abs(year):06d}"
