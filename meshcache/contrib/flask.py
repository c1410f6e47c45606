"""Flask and Werkzeug's development server: a context for ``ssl_context=``, also with the reloader.

app.run(ssl_context=join(context, "meshcache.toml", vip="shop"))
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from meshcache.contrib.mesh import Mesh


def join(
    context: ssl.SSLContext,
    file: str | Path,
    *,
    vip: str | None = None,
    required: bool = False,
    use_reloader: bool | None = None,
) -> ssl.SSLContext:
    """Let a context join in the process that serves.

    With the reloader the program runs twice, and the process that only watches files needs no node. Say so with
    ``use_reloader=True``; left out, it is what ``FLASK_DEBUG`` says.
    """
    if use_reloader is None:
        use_reloader = os.environ.get("FLASK_DEBUG", "0").lower() not in ("0", "false", "no", "")
    if use_reloader and os.environ.get("WERKZEUG_RUN_MAIN") != "true":
        return context
    return Mesh(file, vip=vip, required=required).join(context)
