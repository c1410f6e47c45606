"""The local HTTP+JSON interface of a node."""
