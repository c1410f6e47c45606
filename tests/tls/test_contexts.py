from __future__ import annotations

import gc
import ssl
import threading
from typing import Any

import psutil
import pytest
from OpenSSL import SSL

from meshcache.core.scope import Names
from meshcache.errors import AttachError
from meshcache.tls import contexts
from meshcache.tls.contexts import attach_context, resumption
from meshcache.tls.scopes import scopes_for
from tests.tls.world import (
    KINDS,
    REMOTE,
    VERSIONS,
    DictPort,
    attach,
    client_context,
    server_context,
    server_end,
    visit,
)

pytestmark = [pytest.mark.parametrize("kind", KINDS), pytest.mark.parametrize("version", VERSIONS)]
