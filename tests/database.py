"""What tests ask of the database: a second connection, for what two do at the same moment, and the cost of things."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.test.utils import CaptureQueriesContext


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


def queries_of(do: Callable[..., object], *args: Any, **kwargs: Any) -> int:
    """How many queries it takes to do it."""
    with CaptureQueriesContext(connection) as captured:
        do(*args, **kwargs)
    return len(captured)
