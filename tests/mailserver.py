"""A mail server in a process of its own, that writes down each mail it took before it says so to the sender.

`python -m tests.mailserver <port> <file>`: a line of the file is the second, the sender's port, the recipient and the
Message-ID.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.installation import ROOT
from tests.smtp import free_port

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*<([^>]*)>", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Taken:
    """One mail that the server took."""

    at: float
    port: int
    recipient: str
    message_id: str


@dataclass(frozen=True, slots=True)
class MailServer:
    port: int
    file: Path

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def taken(self) -> Sequence[Taken]:
        lines = (line.split(" ") for line in self.file.read_text().splitlines())
        return [Taken(float(at), int(port), recipient, message_id) for at, port, recipient, message_id in lines]


@contextmanager
def running(file: Path, port: int | None = None) -> Iterator[MailServer]:
    """The server while the block runs; it goes on in the file where one before it ended."""
    server = MailServer(port or free_port(), file)
    file.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.mailserver", str(server.port), str(file)], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout
        assert process.stdout.readline(), "the mail server did not start"
        yield server
    finally:
        process.kill()
        process.communicate()


class Keeper:
    """An aiosmtpd handler."""

    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        found = _MESSAGE_ID.search(envelope.content)
        message_id = found[1].decode() if found else ""
        assert session.peer
        line = f"{time.time():.6f} {session.peer[1]} {envelope.rcpt_tos[0]} {message_id}\n"
        os.write(self._file, line.encode())
        return "250 OK"


async def _serve(port: int, file: Path) -> None:
    keeper = Keeper(file)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(keeper, hostname="localhost"), "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
