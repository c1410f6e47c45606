"""The errors that meshcache raises at the code that uses it; a peer's bad bytes never raise out of the node.

MeshcacheError
├── ConfigError      the configuration file is at fault; nothing was started
├── KeyringError     the mesh key file is at fault; nothing was started
├── HookError        this OpenSSL can't be hooked; the context is as it was
├── AttachError      this context can't join this VIP; the context is as it was
├── TransportError   the mesh's own socket can't be had (port in use, no CURVE)
├── AdminError       a running node can't be asked: it could not answer, and a change was made or not; or
│   └── NodeAbsentError   none is there: it isn't running, or its socket is elsewhere; nothing changed
└── PolicyError      a policy change was refused; nothing changed anywhere
"""

from __future__ import annotations


class MeshcacheError(Exception):
    """The parent of all of them; catch it to catch everything that meshcache raises on purpose."""


class ConfigError(MeshcacheError):
    """The configuration can't be used.

    ``faults`` names every fault at once, each as ``place: what is wrong and what would be right``.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class KeyringError(MeshcacheError):
    """The mesh key file is missing, readable by others, malformed or holds an unusable key."""


class HookError(MeshcacheError):
    """This build of OpenSSL can't be hooked; says what to install instead."""


class AttachError(MeshcacheError):
    """A context can't serve the VIP it was attached to, for a reason that the message names."""


class TransportError(MeshcacheError):
    """The mesh's own socket can't be had; nothing was sent."""


class AdminError(MeshcacheError):
    """A node's admin interface could not be asked; says where it was looked for. A change that it was asked for may
    have been made before it failed."""


class NodeAbsentError(AdminError):
    """No node is there to be asked: it isn't running, or its socket is elsewhere. Nothing changed."""


class PolicyError(MeshcacheError):
    """A change of policy was refused; the policy in force is unchanged on every node."""
