"""Reading settings from the environment, so that a bad value stops start-up with one line that names the variable.

Every `parse` below takes the variable's text and raises ValueError with what it expects. No value is ever printed: it
may hold a password.
"""

import base64
import contextlib
import io
import ipaddress
import os
import re
import secrets
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from email.utils import getaddresses
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

import environ
import psycopg
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from psycopg.conninfo import conninfo_to_dict

T = TypeVar("T")

PGMQ_IN_THE_SAME_DATABASE = "pgmq://localhost"
SHORTEST_SECRET = 32
ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Private keys on the curve are less than this (NIST SP 800-186, section 3.2.1.3)."""
LONGEST_NAME = 63
"""Bytes in the name of a PostgreSQL database."""


def stop(complaint: str) -> NoReturn:
    sys.exit(f"CodeNotify cannot start: {complaint}.")


def read(name: str, parse: Callable[[str], T], default: T) -> T:
    """The variable `name` as `parse` reads it; `default` where it is unset or empty."""
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in raw):
        stop(f"{name} must be one line of UTF-8 text")
    try:
        return parse(raw)
    except ValueError as error:
        stop(f"{name} {error}")


def read_file(file: Path) -> None:
    """Take variables that the environment lacks from a file of lines NAME=value, where it exists."""
    try:
        lines = [line.strip() for line in file.read_text("utf-8-sig").splitlines()]
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        stop(f"{file.name} cannot be read ({_reason(error)})")
    for number, line in enumerate(lines, start=1):
        # django-environ passes over such a line with a warning that shows it.
        if line and not line.startswith("#") and not re.fullmatch(r"(export )?[A-Za-z_0-9]+=[^\0]*", line):
            stop(f"line {number} of {file.name} must be NAME=value, without spaces around the equals sign")
    environ.Env.read_env(io.StringIO("\n".join(lines)))


def require_writable(name: str, directory: Path) -> None:
    """Make the directory that the variable names where it is missing; stop where nothing can be written there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        stop(f"{name}, by default .data beside manage.py, must be a directory to write to ({_reason(error)})")


def require_together(**values: str) -> None:
    """Stop where some of these variables are set and others are not: each is of no use without the others."""
    for name, value in values.items():
        if not value and any(values.values()):
            present = next(other for other in values if values[other])
            stop(f"{name} must be set too, because {present} is")


def kept_secret(name: str, file: Path) -> str:
    """A secret made once and kept in the file, so that a small installation need not invent one."""
    try:
        if not file.exists():
            with tempfile.NamedTemporaryFile("w", dir=file.parent) as new:  # readable by its owner alone
                new.write(secrets.token_urlsafe(50))
                new.flush()
                with contextlib.suppress(FileExistsError):  # of two processes at once, the first wins
                    os.link(new.name, file)
        return secret(file.read_text().strip())
    except (OSError, ValueError) as error:
        stop(f"{name} is unset, and the file {file.name} in DATA_DIR holds none ({_reason(error)})")


def _reason(error: Exception) -> str:
    """In a few words, without any value."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return (isinstance(error, OSError) and error.strerror) or str(error)


# --- Plain values --------------------------------------------------------------------------------------------------


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
    if not _is_port(raw):
        raise ValueError("must be a port number from 1 to 65535")
    return int(raw)


def count(largest: int) -> Callable[[str], int]:
    """A whole number from 1: of what is kept, there is always something."""

    def parse(raw: str) -> int:
        if not re.fullmatch(r"\d{1,9}", raw, re.ASCII) or not 1 <= int(raw) <= largest:
            raise ValueError(f"must be a whole number from 1 to {largest}")
        return int(raw)

    return parse


def digits(raw: str) -> str:
    if not re.fullmatch(r"\d{1,30}", raw, re.ASCII):
        raise ValueError("must be a number of digits alone")
    return raw


def word(raw: str) -> str:
    """What goes into a header as it is."""
    if not re.fullmatch(r"[!-~]{1,4096}", raw):
        raise ValueError("must be one word of ASCII characters")
    return raw


def language(raw: str) -> str:
    if not re.fullmatch(r"[a-z]{2,3}(_[A-Za-z]{2,4})?", raw, re.ASCII):
        raise ValueError("must be the code of a language, such as en or en_US")
    return raw


def template_name(raw: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,512}", raw, re.ASCII):
        raise ValueError("must be the name of a template: small letters, digits and underscores")
    return raw


def vapid_key(raw: str) -> str:
    """The private key of web push (RFC 8292): a number of 32 bytes, in base64url."""
    try:
        number = int.from_bytes(base64.b64decode(f"{raw}=", altchars="-_", validate=True))
    except ValueError:
        number = 0
    if not re.fullmatch(r"[\w-]{43}", raw, re.ASCII) or not 0 < number < ORDER_OF_P256:
        raise ValueError("must be a private key as `manage.py make_vapid_key` makes it, 43 characters of base64url")
    return raw


def secret(raw: str) -> str:
    if len(raw) < SHORTEST_SECRET:
        raise ValueError(f"must be at least {SHORTEST_SECRET} characters that nobody can guess")
    return raw


def directory(beside: Path) -> Callable[[str], Path]:
    """A path, absolute or from `beside`, so that it is the same one for every process."""

    def parse(raw: str) -> Path:
        try:
            return (beside / Path(raw).expanduser()).resolve()
        except (OSError, RuntimeError) as error:  # no such user, or links in a circle
            raise ValueError("must be the path of a directory") from error

    return parse


# --- Addresses -----------------------------------------------------------------------------------------------------


def host_names(raw: str) -> list[str]:
    """Separated by commas; a dot in front stands for all subdomains too, a lone `*` for any host."""
    names = [name.strip() for name in raw.split(",") if name.strip()]
    if not names or not all(map(_is_host_pattern, names)):
        raise ValueError("must be host names separated by commas, without scheme and port, such as example.org")
    return [_ascii(name) for name in names]


def mail_address(raw: str) -> str:
    example = "must be one mail address such as CodeNotify <reminders@example.org>"
    addresses = getaddresses([raw])
    try:
        [(_, address)] = addresses
        validate_email(address)
    except (ValueError, ValidationError) as error:
        raise ValueError(example) from error
    return raw


def contact(raw: str) -> str:
    """Where somebody reads what is written: a mail address or a page (RFC 8292, section 2.1)."""
    try:
        if raw.startswith("mailto:"):
            validate_email(raw.removeprefix("mailto:"))
        else:
            _server(raw, {"https"}, "")
    except (ValueError, ValidationError) as error:
        raise ValueError("must be mailto:somebody@example.org, or a URL that begins with https://") from error
    return raw


def origins(raw: str) -> list[str]:
    """Separated by commas: each a scheme, a host and perhaps a port."""
    try:
        return [site_address(origin.strip()) for origin in raw.split(",") if origin.strip()]
    except ValueError as error:
        raise ValueError("must be URLs without a path separated by commas, such as https://push.example.org") from error


def web_address(raw: str) -> str:
    """A URL, perhaps with a path; without the slash at its end."""
    parts = _server(raw, {"http", "https"}, "must be a URL that begins with http:// or https://, and names a host")
    if parts.username is not None or parts.query:
        raise ValueError("must be a URL of scheme, host, port and path alone")
    return f"{_origin(parts)}{parts.path.rstrip('/')}"


def site_address(raw: str) -> str:
    """As `web_address`, without a path: the site is served at the root of its host."""
    if urlsplit(web_address(raw)).path:
        raise ValueError("must be a URL without a path, such as https://codenotify.example.org")
    return web_address(raw)


# --- Servers -------------------------------------------------------------------------------------------------------


def database_url(raw: str) -> dict[str, Any]:
    """Django's settings for a PostgreSQL URL, which is libpq's: what follows the question mark goes there too."""
    error = ValueError(
        "must be a PostgreSQL URL such as postgres://user:password@host:5432/name, "
        "with special characters in the password percent-encoded"
    )
    if not raw.startswith(("postgres://", "postgresql://")) or " " in raw:
        raise error
    try:
        options: dict[str, Any] = conninfo_to_dict(raw)
    except psycopg.Error:
        raise error from None
    host, name, ports = (str(options.pop(key, "")) for key in ("host", "dbname", "port"))
    if name.startswith("/"):  # postgres:////directory/of/the/socket/name, as django-environ reads it
        host, _, name = name.rpartition("/")
    if (
        not 0 < len(name.encode()) <= LONGEST_NAME
        or re.search("[/@]", name)
        or not all(_is_host(one) or one.startswith("/") or not one for one in host.split(","))
        or not all(_is_port(one) or not one for one in ports.split(","))
    ):
        raise error
    user, password = options.pop("user", ""), options.pop("password", "")
    return {"NAME": name, "USER": user, "PASSWORD": password, "HOST": host, "PORT": ports, "OPTIONS": options}


def broker_url(raw: str) -> str:
    schemes = ("pgmq", "redis", "rediss", "amqp", "amqps")
    expectation = (
        f"must be a URL of a host that begins with one of {', '.join(schemes)}, such as redis://host:6379/0, "
        "with special characters in the password percent-encoded"
    )
    if raw == PGMQ_IN_THE_SAME_DATABASE:
        return raw
    if raw.startswith("pgmq://"):
        try:
            database_url(raw.replace("pgmq", "postgres", 1))
        except ValueError:
            raise ValueError(expectation) from None
        return raw
    parts = _server(raw, set(schemes), expectation)
    if parts.scheme.startswith("redis") and not re.fullmatch(r"/?\d{0,5}/?", parts.path, re.ASCII):
        raise ValueError("must end with the number of a Redis database, such as redis://host:6379/0")
    return raw


def email_url(raw: str) -> dict[str, Any]:
    """Django's settings for an SMTP server."""
    expectation = (
        "must be an SMTP URL such as smtp+tls://user:password@host:587 (or smtp:// or smtp+ssl://), "
        "with special characters in the password percent-encoded"
    )
    ports = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
    parts = _server(raw, set(ports), expectation)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.path.strip("/") or parts.query or bool(user) != bool(password):
        raise ValueError(expectation)
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or ports[parts.scheme],
        "EMAIL_HOST_USER": user,
        "EMAIL_HOST_PASSWORD": password,
        "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
        "EMAIL_USE_SSL": parts.scheme == "smtp+ssl",
    }


def _server(raw: str, schemes: set[str], expectation: str) -> SplitResult:
    """The parts of a URL that names a server. What is no such URL raises ValueError with the expectation."""
    try:
        parts = urlsplit(raw)
        usable = parts.scheme in schemes and _is_host(parts.hostname or "") and parts.port != 0
    except ValueError:
        usable = False
    # A fragment is the rest of a password that holds a number sign.
    if not usable or " " in raw or "#" in raw:
        raise ValueError(expectation)
    return parts


def _origin(parts: SplitResult) -> str:
    """As a browser says it: in lower case and ASCII, and without the port that goes without saying."""
    host = _ascii(parts.hostname or "")
    usual = {"http": 80, "https": 443}[parts.scheme]
    where = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{where}{f':{parts.port}' if parts.port not in (None, usual) else ''}"


_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"


def _is_host(name: str) -> bool:
    if ":" in name:
        return _is_ip_address(name)
    try:
        return re.fullmatch(rf"{_LABEL}(\.{_LABEL})*\.?", _ascii(name)) is not None
    except ValueError:
        return False


def _is_host_pattern(name: str) -> bool:
    if name.startswith("["):
        return name.endswith("]") and _is_ip_address(name[1:-1])
    return name == "*" or (":" not in name and _is_host(name.removeprefix(".")))


def _is_ip_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _ascii(host: str) -> str:
    """The name as it goes over the wire. Raises ValueError where there is no such name."""
    dot = "." if host.startswith(".") else ""
    return host.lower() if host.isascii() else dot + host.removeprefix(".").encode("idna").decode()


def _is_port(raw: str) -> bool:
    return re.fullmatch(r"\d{1,5}", raw, re.ASCII) is not None and 0 < int(raw) < 65536
