"""Makes the tiers that a configuration asks for, in the order in which they are asked: disk, valkey, others'.

Their libraries are imported when they open, and where none is configured never.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshcache.config import Settings
from meshcache.config.tiers import ValkeyTierSettings
from meshcache.hooks import Hook, Tier
from meshcache.plugins.loading import NotLoadedError, load_hook
from meshcache.tiers.disk import DiskTier
from meshcache.tiers.node_tiers import NodeTiers
from meshcache.tiers.runner import TierRunner
from meshcache.tiers.valkey import Store, ValkeyTier


def configured_tiers(settings: Settings, given: Sequence[Hook] = ()) -> NodeTiers:
    """Return the tiers of a node; nothing of them is opened yet."""
    return NodeTiers(lambda tiers: list(_runners(settings, given, tiers)), settings.mesh.name, settings.node.name)


def _runners(settings: Settings, given: Sequence[Hook], tiers: NodeTiers) -> Iterator[TierRunner]:
    disk = settings.tier.disk
    if disk is not None:
        assert disk.path is not None, "settings fill it in"
        keeps = disk.key == "mesh"
        tier = DiskTier(disk.path, disk.max_bytes, settings.mesh.name, keeps=keeps)
        yield TierRunner(tier, "disk", tiers.tell, tiers.opened, memory_key=not keeps)
    if settings.tier.valkey is not None:
        yield TierRunner(_valkey(settings.tier.valkey, settings.mesh.name), "valkey", tiers.tell, tiers.opened)
    for hook in given:
        if isinstance(hook, Tier):
            yield TierRunner(hook, "", tiers.tell, tiers.opened)
    for name in settings.hooks.tiers:
        yield TierRunner(_named(settings, name), name, tiers.tell, tiers.opened)


def _valkey(told: ValkeyTierSettings, mesh: str) -> ValkeyTier:
    url = told.url
    store = Store(
        host=url.host,
        port=url.port,
        path=url.path,
        database=url.database,
        tls=url.tls,
        ca_file=told.ca_file,
        certificate=told.certificate,
        private_key=told.private_key,
        username=told.username,
        password_file=told.password_file,
    )
    return ValkeyTier(store, mesh, told.wait_ms / 1000)


def _named(settings: Settings, name: str) -> Tier:
    try:
        return load_hook(name, Tier, settings.hooks.options_of(name))
    except NotLoadedError as error:
        return _Absent(str(error))


class _Absent(Tier):
    """Stands for one that can't be had, so that it is counted and told like all others."""

    private = True  # nobody reads anything there

    def __init__(self, why: str) -> None:
        self._why = why

    def open(self) -> None:
        raise ImportError(self._why)
