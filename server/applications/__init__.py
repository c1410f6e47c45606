"""What is spoken behind TLS: the built-in responder, or plain TCP to backends; and the access log of both.

Imports `meshcache` and what lies beside the rooms; knows no socket of a client's, only the connection that it is given
(`application`). It never sees a key or a session.
"""
