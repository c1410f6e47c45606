"""The pump: the thread that moves a node's messages, and how it sleeps between them.

Imports the core, `hot`, `edges` and `runtime.tracing`. It decides nothing: it asks the core when to wake up and what to
send. It knows the ports only as its `doors`. In order of reading: `pump`, `pump_sleep`, `compiled_sleep`.
"""
