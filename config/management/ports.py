import socket

from django.core.management.base import CommandError


def refuse_a_taken_port(host: str, port: int) -> None:
    """Raise CommandError, with what to do, where nothing can listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise CommandError(
                f"Port {port} on {host} cannot be used ({error}). Name another one: PORT=8001."
            ) from error
