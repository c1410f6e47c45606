"""The tables of one node: who its peers are, what it serves, what is known by hearsay, what waits to be sent, counters.

Imports `wire`, `cache`, `values` and `policy`. Tables answer questions and change when they are told to; they never
choose whom to talk to and never build a message. Beside them `telemetry` tells operators, `outlet` and `tls_edge` are
the Protocols to other duties and to OpenSSL's side, and `resumption` gives a lookup's verdict.
"""
