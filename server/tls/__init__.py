"""TLS on memory: streams of one connection each, and the contexts and certificates that they are made of.

Imports what lies beside the rooms; `_steps` in C where it is compiled. It opens no socket, and shares nothing: the
contexts are attached to the mesh by `app`.
"""
