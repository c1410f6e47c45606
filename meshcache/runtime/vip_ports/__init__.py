"""What OpenSSL's callbacks call for one VIP: a session is found, filed, told to the pump, or held back.

Imports `runtime.pump`, the core, `hot`, `tls`, `edges` and `config`. Handshakes run through here: nothing waits but
where a VIP's policy lets it, and nothing raises into OpenSSL. In order of reading: `session_ports` is one VIP's,
`ports` all of them; `session_ids`, `origin_tokens` and `ticket_keys` are what they give OpenSSL; `collecting` and
`withheld` say when what was made is taken.
"""
