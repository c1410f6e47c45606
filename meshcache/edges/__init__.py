"""The network around a node: what carries messages, finds peers, and keeps keys where nobody else reads them.

`transport` sends and receives over ZeroMQ and CURVE, by `listener` and `dialler`; `authenticator` and `zap` say who may
connect, `handshakes` what became of it; `discovery` and `seeds` find addresses, which `address` checks first;
`keyfile`, `keyring` and `secrecy` are about key files. Each file owns one foreign library or one kind of socket.

Imports `config`, `hot` for moving messages, and `core.values`; `runtime` joins it to a core. It knows no session, no
VIP and no message's meaning: an edge that would have to ask what something is for asks the core.
"""
