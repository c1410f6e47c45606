"""The TLS-terminating server that comes with meshcache; knows only its public names.

`main` and `app` start it. Each of its rooms stands above what it may import; `tests/test_layering.py` holds the order:

    takeover       takes the place of another server without a client noticing
    connections    accepts clients and speaks TLS with them
    tls            streams on memory, contexts and certificates
    applications   what is spoken behind TLS

It decides nothing about sessions, and never looks into one.
"""
