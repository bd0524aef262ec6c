"""Reading settings from the environment, so that a bad value stops start-up with one line that names the variable."""

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")


def read(name: str, parse: Callable[[str], T], default: T) -> T:
    """The variable `name` as `parse` reads it; `default` where it is unset or empty.

    `parse` raises ValueError with what it expects. The value itself is never printed: it may hold a password.
    """
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        return parse(raw)
    except (ValueError, ImproperlyConfigured) as error:
        sys.exit(f"CodeNotify cannot start: {name} {error}.")


def text(raw: str) -> str:
    return raw


def words(raw: str) -> list[str]:
    """Values separated by commas."""
    return [word.strip() for word in raw.split(",") if word.strip()]


def boolean(raw: str) -> bool:
    """Stricter than django-environ, to which every misspelt `true` is false."""
    match raw.lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
    raise ValueError("must be true or false")


def choice(*allowed: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw.upper() not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return raw.upper()

    return parse


def port(raw: str) -> int:
    if not (raw.isascii() and raw.isdecimal() and 0 < int(raw[:6]) < 2**16):
        raise ValueError("must be a port number from 1 to 65535")
    return int(raw)


def url(*schemes: str) -> Callable[[str], str]:
    """A URL with a host; without the slash at its end."""

    def parse(raw: str) -> str:
        try:
            parts = urlsplit(raw)
            usable = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            usable = False
        if not usable:
            raise ValueError(f"must be a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return raw.rstrip("/")

    return parse


def database_url(raw: str) -> dict[str, Any]:
    """Django's settings for a PostgreSQL URL; what follows the question mark goes to libpq."""
    example = "must be a PostgreSQL URL such as postgres://user:password@host:5432/name"
    try:
        config: dict[str, Any] = environ.Env.db_url_config(raw)
    except Exception as error:  # django-environ raises whatever its parsing trips over
        raise ValueError(example) from error
    if not config.get("ENGINE", "").endswith("postgresql") or not config.get("NAME"):
        raise ValueError(example)
    return config


def email_url(raw: str) -> dict[str, Any]:
    example = "must be an SMTP URL such as smtp+tls://user:password@host:587 (or smtp:// or smtp+ssl://)"
    if urlsplit(raw).scheme not in {"smtp", "smtp+tls", "smtp+ssl"}:
        raise ValueError(example)
    try:
        config: dict[str, Any] = environ.Env.email_url_config(raw)
    except Exception as error:  # as above
        raise ValueError(example) from error
    if not config.get("EMAIL_HOST"):
        raise ValueError(example)
    return config


def broker_url(raw: str) -> str:
    schemes = ("pgmq", "redis", "rediss", "amqp", "amqps")
    if urlsplit(raw).scheme not in schemes:
        raise ValueError(f"must be a URL that begins with one of {', '.join(schemes)}")
    return raw
