"""Turns `meshcache.toml` into frozen, checked `Settings`; touches no file but that one.

    settings = load("meshcache.toml", overrides=["node.name=edge-2"])

Imports `core.policy` and `core.values`, whose words settings are made of. What the settings point at (certificates,
keys, ports) is looked at by `meshcache.checks`.
"""

from meshcache.config.changes import changed_keys, needs_restart
from meshcache.config.load import load, read_config, read_settings
from meshcache.config.settings import (
    AdminSettings,
    CacheSettings,
    HooksSettings,
    LogSettings,
    MeshSettings,
    NodeSettings,
    ServerSettings,
    Settings,
)
from meshcache.config.tickets import ExportSettings, TicketsSettings, why_not_exported
from meshcache.config.values import split_address
from meshcache.config.vip import CertificateSettings, ClientAuthSettings, HealthSettings, SharingSettings, VipSettings

__all__ = [
    "load",
    "read_settings",
    "read_config",
    "Settings",
    "NodeSettings",
    "MeshSettings",
    "CacheSettings",
    "AdminSettings",
    "ServerSettings",
    "LogSettings",
    "HooksSettings",
    "TicketsSettings",
    "ExportSettings",
    "why_not_exported",
    "VipSettings",
    "CertificateSettings",
    "ClientAuthSettings",
    "HealthSettings",
    "SharingSettings",
    "split_address",
    "changed_keys",
    "needs_restart",
]
