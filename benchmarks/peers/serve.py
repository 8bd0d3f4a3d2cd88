"""One peer behind uvicorn, in its own process: `python -m benchmarks.peers.serve NAME [PORT]`.

Processes with the same PORT share it, and the kernel shares out the connections.
"""

import os
import socket
import sys

import uvicorn

from benchmarks.peers.apps import PEERS
from benchmarks.servers import Places


class Server(uvicorn.Server):
    """Prints its port when it is ready."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the port."""
        await super().startup(sockets)
        if self.started and sockets:
            print(sockets[0].getsockname()[1], flush=True)


def main() -> None:
    """Serve until a signal arrives."""
    places = Places(os.environ["BENCH_POSTGRES"], os.environ.get("BENCH_REDIS"))
    app = PEERS[sys.argv[1]].make(places)
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", log_level="warning", access_log=False
    )
    address = "127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with socket.create_server(address, backlog=1024, reuse_port=True) as listener:
        Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
