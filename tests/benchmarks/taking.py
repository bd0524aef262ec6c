"""A push service in a process of its own that takes everything, and spends next to no time on it.

`python -m tests.benchmarks.taking <port>`
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.installation import ROOT
from tests.smtp import free_port


@contextmanager
def taking_everything() -> Iterator[str]:
    """The origin of a push service in a process of its own, while the block runs."""
    port = free_port()
    command = [sys.executable, "-m", "tests.benchmarks.taking", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline(), "the push service did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


class Taking(asyncio.Protocol):
    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(rest) >= length:
            self._received = rest[length:]
            self._transport.write(b"HTTP/1.1 201 Created\r\nTTL: 3600\r\nContent-Length: 0\r\n\r\n")


async def take(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Taking, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(take(int(sys.argv[1])))
