"""Reads which session a client has, from a file as ``openssl s_client -sess_out`` writes it.

So that an operator who tries a server can ask what became of the session: in no log is there anything to know it by.
"""

from __future__ import annotations

import base64
import binascii
import re

from meshcache.core.values.session import SESSION_ID_BYTES_MAX, session_hash
from meshcache.tls.functions import ffi
from meshcache.tls.libssl import pyopenssl

_PEM = re.compile("-----BEGIN SSL SESSION PARAMETERS-----(.*?)-----END SSL SESSION PARAMETERS-----", re.DOTALL)


def hash_of_session_in(text: str) -> str:
    """Return the hash of the id under which the server has a client's session (`session_hash`).

    In TLS 1.3 the id is its whole ticket (SSL_CTX_set_options(3), SSL_OP_NO_TICKET). Raises ValueError, in words for an
    operator, when there is no session in the file, or one that a server needn't have: it came as a sealed ticket.
    """
    found = _PEM.search(text)
    if found is None:
        raise ValueError("no session is in it: `openssl s_client -sess_out FILE` writes one")
    try:
        der = base64.b64decode("".join(found[1].split()), validate=True)
    except binascii.Error:
        raise ValueError("its session isn't whole") from None
    functions = pyopenssl().functions
    session = functions.d2i_SSL_SESSION(0, ffi.new("char *[1]", [ffi.from_buffer("char[]", der)]), len(der))
    if not session:
        functions.ERR_clear_error()
        raise ValueError("its session isn't whole")
    try:
        place, size = ffi.new("char *[1]"), ffi.new("size_t *")
        functions.SSL_SESSION_get0_ticket(session, place, size)
        if not size[0]:
            count = ffi.new("unsigned int *")
            place[0], size[0] = functions.SSL_SESSION_get_id(session, count), count[0]
        if not 0 < size[0] <= SESSION_ID_BYTES_MAX:
            raise ValueError("its session is a sealed ticket (`resumption`): no server has it by an id")
        return session_hash(ffi.unpack(place[0], size[0]))
    finally:
        functions.SSL_SESSION_free(session)
