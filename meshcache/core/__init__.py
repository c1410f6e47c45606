"""Decides; does no I/O. Bytes, peers and `now` in; messages, events and the next deadline out."""
