"""A second connection to the test's database, for what two processes do at the same moment."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.db.backends.utils import CursorWrapper


@contextmanager
def another_transaction() -> Iterator[CursorWrapper]:
    """Somebody else's transaction, committed at the end."""
    other = connection.copy()
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            yield cursor
        other.commit()
    finally:
        other.close()
