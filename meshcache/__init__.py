"""meshcache: TLS sessions that resume on every server behind a VIP."""
