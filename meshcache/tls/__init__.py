"""OpenSSL's side of a node: finds the library, sets the callbacks, attaches contexts, says what a session is bound to.

`contexts` is the way in, `callbacks` the set that OpenSSL calls: `hello`, `minting`, `creation`, `lookup`, `tickets`;
`compiled` puts those in C in their place. `port` says what the callbacks ask of a node, which `runtime` answers.

Imports `hot`, and `core.policy` and `core.values` for scopes and verdicts. It sends nothing, waits for no peer, and
lets no fault of its own end a handshake: whatever goes wrong here is a miss. It never decides who may share what.
"""
