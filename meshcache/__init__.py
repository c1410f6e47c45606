"""meshcache: TLS sessions that resume on every server behind a VIP.

    from meshcache import MeshNode

    with MeshNode.from_file("meshcache.toml") as node:
        node.attach(context, vip="shop")      # a pyOpenSSL Context or an ssl.SSLContext

From then on a client that met one server resumes on the others, within the borders that each VIP's policy draws. These
are all the public names, with `__version__`; docs/embedding.md shows them at work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from meshcache.errors import (
    AdminError,
    AttachError,
    ConfigError,
    HookError,
    KeyringError,
    MeshcacheError,
    PolicyError,
    TransportError,
)

if TYPE_CHECKING:
    __version__: str
    from meshcache.admin.group import AdminGroup
    from meshcache.config import (
        AdminSettings,
        CacheSettings,
        CertificateSettings,
        ClientAuthSettings,
        HealthSettings,
        LogSettings,
        MeshSettings,
        NodeSettings,
        ServerSettings,
        Settings,
        SharingSettings,
        VipSettings,
        changed_keys,
        load,
        needs_restart,
        read_config,
        split_address,
    )
    from meshcache.core.values.session import Outcome
    from meshcache.node import MeshNode
    from meshcache.runtime.contexts.named_contexts import NamedContexts
    from meshcache.runtime.vip_ports.origin_tokens import Resumption
    from meshcache.workers.naming import worker_settings
    from meshcache.workers.running import attach

__all__ = [
    # a node, and a context that joins it
    "MeshNode",
    "attach",
    "NamedContexts",
    "worker_settings",
    "AdminGroup",
    "Resumption",
    "Outcome",
    # what it is told
    "load",
    "read_config",
    "split_address",
    "changed_keys",
    "needs_restart",
    "Settings",
    "NodeSettings",
    "MeshSettings",
    "CacheSettings",
    "AdminSettings",
    "ServerSettings",
    "LogSettings",
    "VipSettings",
    "CertificateSettings",
    "ClientAuthSettings",
    "HealthSettings",
    "SharingSettings",
    # what it raises
    "MeshcacheError",
    "ConfigError",
    "KeyringError",
    "HookError",
    "AttachError",
    "TransportError",
    "AdminError",
    "PolicyError",
]

_HOMES = {
    "MeshNode": "node",
    "attach": "workers.running",
    "NamedContexts": "runtime.contexts.named_contexts",
    "AdminGroup": "admin.group",
    "worker_settings": "workers.naming",
    "Resumption": "runtime.vip_ports.origin_tokens",
    "Outcome": "core.values.session",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: `meshcache key new` needs no ZeroMQ, and the core needs nothing."""
    if name == "__version__":
        from importlib.metadata import version

        return version("meshcache")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'config')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
