"""What the database did not take, asked for again: of two that wait in a circle, and while it is away."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)

ATTEMPTS = 3

Result = TypeVar("Result")


def tried_again(write: Callable[[], Result], what: str) -> Result:
    """Do it, again where the database asks for that. Inside a transaction that is for whoever began it.

    Raises OperationalError where the last attempt fails as well.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return write()
        except OperationalError as error:
            if connection.in_atomic_block:
                raise
            logger.warning("The database did not take %s, which is tried again: %s", what, str(error).strip())
    return write()


def outlasting(patience: timedelta, ask: Callable[[], Result], what: str) -> Result:
    """Do it, again each second while the database is away, as at a restart; as above inside a transaction.

    Raises OperationalError or InterfaceError where it is away for longer than `patience`.
    """
    give_up_at = time.monotonic() + patience.total_seconds()
    while True:
        try:
            return ask()
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block or time.monotonic() > give_up_at:
                raise
            logger.warning("The database did not take %s, which is tried again: %s", what, str(error).strip())
            connection.close()
            time.sleep(1)
