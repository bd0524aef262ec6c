"""Two statements that lock the same rows in different order: the database has one of them try again."""

import logging
from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, connection

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
