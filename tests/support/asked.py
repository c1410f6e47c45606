"""What a warm start is asked with, on both sides of its socket."""

from __future__ import annotations

BYTES_MAX = 2**17
"""Of a message, which is JSON: ``command`` (without Python itself), ``cwd``, ``env``, and by which numbers
(``descriptors``) the program knows the descriptors that come with it."""

DESCRIPTORS_MAX = 16
