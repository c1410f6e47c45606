"""Figures as people read them: counts, rates, percentages, sizes, times. Short enough for a column."""

from __future__ import annotations

from typing import Final

NONE: Final = "-"
"""Where there is nothing to say, such as a percentage of nothing."""


def count(value: float | None) -> str:
    """Return a whole number, with commas, and shorter from a million on."""
    if value is None:
        return NONE
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if value >= size:
            return f"{value / size:.2f}{unit}"
    return f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Per second; a decimal only where it says something."""
    if value is None:
        return NONE
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def percent(part: float, whole: float, digits: int = 1) -> str:
    """Return a part of a whole, or nothing where there is no whole."""
    return f"{100 * part / whole:.{digits}f}%" if whole else NONE


def size(value: float | None) -> str:
    """Return bytes, in the unit that leaves two or three digits."""
    if value is None:
        return NONE
    for unit in ("B", "KiB", "MiB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def duration(seconds: float | None) -> str:
    """Return how long something has lasted, in its two largest units."""
    if seconds is None:
        return NONE
    minutes, whole_s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{whole_s:02}s" if minutes else f"{whole_s}s"


def milliseconds(value: float | None) -> str:
    """Return a time in milliseconds; below ten with a decimal or two."""
    if value is None:
        return NONE
    return f"{value:.2f} ms" if value < 1 else f"{value:.1f} ms" if value < 10 else f"{value:,.0f} ms"


def ago(seconds: float | None) -> str:
    """Return how long ago something was seen."""
    if seconds is None:
        return "never"
    return f"{seconds:.1f} s ago" if seconds < 10 else f"{duration(seconds)} ago"


def cropped(text: str, width: int) -> str:
    """Return at most `width` characters, with an ellipsis where something is missing."""
    return text if len(text) <= width else text[: width - 1] + "…"
