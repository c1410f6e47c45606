"""The TLS-terminating server that comes with meshcache; knows only its public names."""
