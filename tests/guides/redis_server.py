"""A real Redis, for as long as a test runs."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.programs import running

PROGRAM: Final = shutil.which("redis-server")

#: Why tests are skipped without it.
REASON: Final = "no redis-server here: install Debian's"

_READY: Final = re.compile("ready to accept connections", re.IGNORECASE)


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run it on a Unix socket in the folder, without persistence; yield its URL."""
    socket = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    with running([str(PROGRAM), *options], said=_READY):
        yield f"unix://{socket}"
