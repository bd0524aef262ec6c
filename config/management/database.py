import psycopg
from django.core.management.base import CommandError
from django.db import connection

from config import database


def require_database() -> None:
    """Raise CommandError with the reason where the database cannot be reached.

    At once: the pool of connections waits for half a minute, and does not say what for.
    """
    try:
        database.ensure_running()
        psycopg.connect(**connection.get_connection_params()).close()
    except (psycopg.Error, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise CommandError(f"The database cannot be reached: {reason}") from error
