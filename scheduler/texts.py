"""What the ledger keeps of results, errors and tracebacks: text, of a bounded length, that PostgreSQL can store."""

import traceback
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from kombu.utils.json import dumps

LONGEST = 100_000
"""Characters of each."""


def of_result(result: Any) -> str:
    """As JSON where it can be, for people to read."""
    if result is None:
        return ""
    try:
        text = dumps(result)
    except Exception:
        text = repr(result)
    return kept(text)


def of_error(error: BaseException) -> str:
    if isinstance(error, SoftTimeLimitExceeded):
        return "It ran over its time limit, and was stopped."
    return kept(f"{type(error).__name__}: {error}")


def of_traceback(error: BaseException) -> str:
    """Its end, where it is long: that says where the error was raised."""
    return "".join(traceback.format_exception(error))[-LONGEST:].replace("\0", "")


def kept(text: str) -> str:
    return text[:LONGEST].replace("\0", "")
