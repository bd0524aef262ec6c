"""How an answer is spoken of: short, printable, and without anybody's password."""

import html
import re
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import urlsplit

PREFIX = 8 * 1024
"""How much of a page is looked at, and of a refusal's body is kept, in bytes."""

_MARKUP = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)|<[^>]*>?", re.DOTALL | re.IGNORECASE)


def excerpt(text: str, longest: int = 100) -> str:
    """The first words of a text or of an HTML page, on one line, printable, fit to be quoted in a sentence."""
    text = text[:PREFIX]
    if is_page(text):
        text = html.unescape(_MARKUP.sub(" ", text))
    text = "".join(c for c in " ".join(text.split()) if c.isprintable())
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def is_page(text: str) -> bool:
    return text[:PREFIX].lstrip("\ufeff \t\r\n").startswith("<")


def phrase(status: int) -> str:
    with suppress(ValueError):
        return f"{status} {HTTPStatus(status).phrase}"
    return str(status)


def size(amount: int) -> str:
    return f"{amount >> 20} MiB" if amount >= 2**20 else f"{amount} bytes"


def host(url: str) -> str:
    """The host (and port, where it is named) of a URL, without credentials."""
    with suppress(ValueError):
        return urlsplit(url).netloc.rpartition("@")[2] or excerpt(url)
    return excerpt(url)
