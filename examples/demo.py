"""`make demo`: serves demo_app.py on this machine, with its own PostgreSQL server in .demo/.

If SESSION_DATABASE_URL is set, the demo uses that server, in the schema
pgsession_demo or the one named by SESSION_SCHEMA. Several demos may run at the
same time. Ctrl-C stops a demo; the last one stops PostgreSQL. The password of the
demo's administrator is in .demo/ too, if DEVICES_ADMIN_PASSWORD does not give one.
"""

import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import uvicorn

from pgsession import SessionError
from pgsession.embedded import embedded_server
from pgsession.postgres.schema import migrate

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / ".demo"
ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Server(uvicorn.Server):
    """Prints its address when it is ready."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the address."""
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()
            print(f"Open http://{host}:{port}/ — Ctrl-C ends it.", flush=True)


def main() -> None:
    """Serve until a signal arrives."""
    for number in ENDING:
        signal.signal(number, end)
    # uvicorn handles the other signals while it serves, but not SIGHUP.
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    with ExitStack() as stack:
        if not os.environ.get("SESSION_DATABASE_URL"):
            print(f"Starting PostgreSQL in {DATA.name}/", flush=True)
            with uninterrupted():
                os.environ["SESSION_DATABASE_URL"] = stack.enter_context(embedded_server(DATA))
        schema = os.environ.setdefault("SESSION_SCHEMA", "pgsession_demo")
        os.environ.setdefault("SESSION_SECRET_KEY", kept_secret("secret"))
        for name in migrate(os.environ["SESSION_DATABASE_URL"], schema=schema):
            print(f"Applied migration {name}", flush=True)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        if not os.environ.get("DEVICES_ADMIN_PASSWORD"):
            password = os.environ["DEVICES_ADMIN_PASSWORD"] = kept_secret("admin-password")
            print(f'Administrator of this demo: "admin", password {password}', flush=True)
        sys.path.insert(0, str(ROOT))
        config = uvicorn.Config("examples.demo_app:app", log_level="warning", loop="asyncio")
        # An open page has an open WebSocket.
        config.timeout_graceful_shutdown = 2
        server = Server(config)
        server.run(sockets=[listener])
        sys.exit(not server.started)


def end(*_: object) -> None:
    """Exit, once: a second Ctrl-C must not interrupt the shutdown of PostgreSQL."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    sys.exit()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay signals, so that no half-started server is left behind."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def kept_secret(name: str) -> str:
    """Return a secret in .demo/. The first demo makes it; cookies stay valid after a restart."""
    file, draft = DATA / name, DATA / f"{name}.{os.getpid()}"
    if not file.exists():
        DATA.mkdir(exist_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        with suppress(FileExistsError):  # two demos may start at the same time
            file.hardlink_to(draft)
        draft.unlink()
    return file.read_text()


if __name__ == "__main__":
    try:
        main()
    except SessionError as error:
        sys.exit(f"Error: {error}")
