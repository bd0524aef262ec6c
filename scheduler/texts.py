"""What the ledger keeps of results, errors and tracebacks: text, of a bounded length, that PostgreSQL can store."""

import traceback
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from kombu.utils.encoding import safe_repr
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
        text = safe_repr(result)
    return kept(text)


def of_error(error: BaseException) -> str:
    if isinstance(error, SoftTimeLimitExceeded):
        return "It ran over its time limit, and was stopped."
    try:
        text = str(error)
    except Exception:
        text = "its text cannot be read"
    return kept(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def of_traceback(error: BaseException) -> str:
    """Its end, where it is long: that says where the error was raised."""
    return kept("".join(traceback.format_exception(error))[-LONGEST:])


def kept(text: str) -> str:
    """Without what PostgreSQL refuses: NUL, and halves of characters, which are written as Python does."""
    return text[:LONGEST].replace("\0", "").encode(errors="backslashreplace").decode()
