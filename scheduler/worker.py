"""What the processes of a worker share: who they are, and a connection of their own to the ledger.

The ledger is not written over Django's connection, which belongs to the job: it may be in a transaction, broken or
closed when the job ends, and Celery closes it after every task.
"""

import os
import socket
import threading
from typing import Any

import psycopg
from celery import signals
from django.db import connections

from config import database

_local = threading.local()
_main_pid = os.getpid()


@signals.worker_process_init.connect
def _become_a_child(**_: Any) -> None:
    """Leave the parent's process group: who stops a whole group, as a terminal or honcho does, means the parent.

    It lets its children finish. One that died of the signal instead could take a lock of the pool along.
    """
    if is_child():  # which the process of the solo pool is not, though it says so
        os.setpgid(0, 0)


def is_child() -> bool:
    """Whether this process runs one job at a time for a parent that replaces it: Celery's prefork pool."""
    return os.getpid() != _main_pid


def main_identity() -> str:
    """This worker, with all its processes, on this host; a fork keeps the number of the process it comes from."""
    return f"{socket.gethostname()}:{_main_pid}"


def identity() -> str:
    return f"{main_identity()}/{os.getpid()}"


def execute(sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Run one statement, committed when this returns. A connection that died meanwhile is replaced once.

    Raises psycopg.Error.
    """
    try:
        return _execute(sql, values)
    except psycopg.OperationalError:
        forget_connection()
        return _execute(sql, values)


def _execute(sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    cursor = _connection().execute(sql, values)
    return cursor.fetchall() if cursor.description else []


def _connection() -> "psycopg.Connection[tuple[Any, ...]]":
    """One per process and thread: a fork must not use its parent's."""
    if getattr(_local, "pid", None) != os.getpid():
        database.ensure_running()
        parameters = {**connections["default"].get_connection_params(), "cursor_factory": psycopg.Cursor}
        if database.is_embedded():
            # The same few statements over and over; elsewhere a pooler that knows no prepared ones may be in between.
            parameters["prepare_threshold"] = 5
        _local.connection = psycopg.connect(**parameters, autocommit=True)
        _local.pid = os.getpid()
    connection: psycopg.Connection[tuple[Any, ...]] = _local.connection
    return connection


def forget_connection() -> None:
    """Close this thread's connection, where it has one."""
    if getattr(_local, "pid", None) == os.getpid():
        _local.connection.close()
    _local.pid = None
