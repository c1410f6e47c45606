"""Decides where a session may go, and what it is bound to: the three gates, the scope, the digest of settings.

Pure functions of values: everything above may ask them, they import nothing of the core. They never keep a table,
never count and never see a message.
"""
