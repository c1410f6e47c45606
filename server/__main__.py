"""``python -m meshcache_server FILE``."""

import signal
import sys

signal.signal(signal.SIGHUP, signal.SIG_IGN)  # before the imports: it would end the process

from .main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
