"""A sharing policy: sessions never leave their region, which is the first part of a colo's name, such as eu in eu-fra1.

    [hooks]
    policies = ["same_region:SameRegion"]
    options = { "same_region:SameRegion" = { max_age_s = 14400 } }

The module must be where Python finds it: installed, or in a folder of PYTHONPATH.
"""

from __future__ import annotations

from meshcache.hooks import Crossing, Resuming, SharingPolicy


class SameRegion(SharingPolicy):
    """Refuses crossings between regions, and lineages older than `max_age_s`, whatever the VIPs' policies allow."""

    name = "same_region"

    def __init__(self, max_age_s: float = 86_400.0) -> None:
        self._max_age_s = max_age_s

    def may_send(self, crossing: Crossing) -> bool:
        return _region(crossing.origin_colo) == _region(crossing.colo)

    may_accept = may_send  # so that it holds also where the other end has no such policy

    def may_resume(self, resuming: Resuming) -> bool:
        return resuming.age_s <= self._max_age_s


def _region(colo: str) -> str:
    return colo.partition("-")[0]
