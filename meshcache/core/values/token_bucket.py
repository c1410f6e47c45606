"""A token bucket: so much at once, so much a second after that."""

from __future__ import annotations


class Bucket:
    """Holds `burst` tokens at first and gains `rate` a second up to that."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, tokens: float, now: float) -> bool:
        """Take so many tokens, or none when there are fewer. Return whether they were taken."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < tokens:
            return False
        self._tokens -= tokens
        return True

    def holds(self, tokens: float, now: float) -> bool:
        """Return whether so many could be taken."""
        return min(self._burst, self._tokens + (now - self._at) * self._rate) >= tokens

    def left(self, now: float) -> float:
        """Return how many could be taken."""
        return min(self._burst, self._tokens + (now - self._at) * self._rate)

    def give_back(self, tokens: float) -> None:
        """Put back what was taken a moment ago and not used."""
        self._tokens += tokens
