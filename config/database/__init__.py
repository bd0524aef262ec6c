"""Where the data is: the PostgreSQL that DATABASE_URL names, or the embedded one."""

from pathlib import Path
from typing import Any

from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo

from config.database import embedded


def settings_for(given: dict[str, Any], data_dir: Path) -> dict[str, Any]:
    """Django's DATABASES entry for the parsed DATABASE_URL, or for the embedded server with its files in `data_dir`."""
    database = given or embedded.settings_for(data_dir)
    pool = {"min_size": 1, "max_size": 10, "timeout": 30, **database.get("OPTIONS", {}).get("pool", {})}
    return {
        **database,
        "ENGINE": "django.db.backends.postgresql",
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**database.get("OPTIONS", {}), "pool": pool},
    }


def pgmq_conninfo(database: dict[str, Any]) -> str:
    """A DATABASES entry for the client of PGMQ, which takes it apart and puts five of its parts together unquoted.

    So each of the five is quoted once more, which also keeps its own defaults out: what the entry lacks is left to
    libpq, as Django leaves it. The other parameters (sslmode and the like), which it would drop, ride behind the
    database's name. Source: `PGMQConfig.dsn` in pgmq 1.1.
    """
    options = {key: value for key, value in database.get("OPTIONS", {}).items() if key != "pool"}
    defaults = {option.keyword.decode(): (option.val or b"").decode() for option in Conninfo.get_defaults()}
    host, port, user, password = (
        _quoted(database.get(key.upper()) or defaults[key]) for key in ("host", "port", "user", "password")
    )
    dbname = f"{_quoted(database['NAME'])} {make_conninfo(**options)}".strip()
    return make_conninfo(host=host, port=port, dbname=dbname, user=user, password=password)


def _quoted(value: str) -> str:
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def is_embedded() -> bool:
    from django.conf import settings

    return "EMBEDDED_IN" in settings.DATABASES["default"]


def ensure_running() -> None:
    """Start the embedded server where the settings ask for it and it is not running."""
    from django.conf import settings

    if is_embedded():
        embedded.ensure_running(Path(settings.DATABASES["default"]["EMBEDDED_IN"]))
