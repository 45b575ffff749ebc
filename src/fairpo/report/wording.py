"""Numbers and names as people read them."""

from __future__ import annotations

from typing import Any

_MINUS = "\u2212"


def interval(cell: dict[str, Any], level: float | None = None) -> str:
    """A change in points and its interval, with as many decimals as the interval needs."""
    places = digits(cell)
    change, low, high = (signed(cell[key], places) for key in ("difference", "low", "high"))
    if level is None:
        return f"{change} points, {low} to {high}"
    return f"{change} points ({round(100 * level)}% interval {low} to {high})"


def digits(cell: dict[str, Any]) -> int:
    """One decimal, or as many as an end that excludes 0 needs not to be rounded to it."""
    if cell["low"] is None or not cell["excludes_zero"]:
        return 1
    nearest = 100 * min(abs(cell["low"]), abs(cell["high"]))
    return next((places for places in (1, 2, 3) if round(nearest, places)), 4)


def points(value: float | None, places: int = 1) -> str:
    """A fraction in points; a dash where it is undefined."""
    return "\u2013" if value is None else f"{100 * value:.{places}f}"


def signed(value: float | None, places: int = 1) -> str:
    """A change in points, with its sign."""
    if value is None:
        return "\u2013"
    text = f"{100 * value:+.{places}f}"
    return text[1:] if float(text) == 0 else text.replace("-", _MINUS)


def probability(value: float | None) -> str:
    """A p-value, never rounded to 0."""
    if value is None:
        return "\u2013"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def setting(value: object) -> str:
    """The value of a setting, three figures of it."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def words(name: object) -> str:
    """A name of ours without its underscores."""
    return str(name).replace("_", "-")


def count(number: int, one: str, many: str = "") -> str:
    """A number of things."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
