"""A push service that takes everything and looks into nothing, so that it costs both sides of a comparison little."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection


@contextmanager
def push_service() -> Iterator[str]:
    """Its address. It takes everything, in a process of its own."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_take_pushes, args=(there,))
    process.start()
    try:
        yield here.recv()
    finally:
        process.kill()
        process.join()


class _Taker(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")


def _take_pushes(pipe: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Taker)
    pipe.send(f"http://127.0.0.1:{server.server_address[1]}")
    server.serve_forever()
