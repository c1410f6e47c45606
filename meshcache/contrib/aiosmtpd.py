"""aiosmtpd: a context for a Controller that speaks TLS from the start, and one for STARTTLS.

Controller(handler, tls_context=join(context, "meshcache.toml", vip="shop"))
"""

from meshcache.contrib.mesh import join

__all__ = ["join"]
