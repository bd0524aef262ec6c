"""Servers of the system's packages, started by tests on ports of their own; nothing of them remains."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from tests.installation import eventually
from tests.smtp import free_port


@contextmanager
def running(*command: str | Path, directory: Path, user: str | None = None, **variables: str) -> Iterator[int]:
    """The process, and whatever it started, while the block runs; its id. It sees PATH and these variables."""
    with open(directory / "server.log", "ab") as log:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={"PATH": os.environ["PATH"], "HOME": str(directory), **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
        )
    try:
        yield process.pid
    finally:
        with suppress(subprocess.TimeoutExpired):
            process.send_signal(signal.SIGINT)
            process.wait(15)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def own_directory(user: str | None = None) -> Iterator[Path]:
    """A directory of this user's; pytest's own cannot be entered by anybody else."""
    with tempfile.TemporaryDirectory(prefix="codenotify-") as name:
        if user:
            shutil.chown(name, user)
        yield Path(name)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


class PostgreSQL:
    """A server that asks everybody for a password, over TCP and over its socket in `directory`."""

    password = "only for tests"

    def __init__(self, directory: Path, port: int) -> None:
        self.directory, self.port = directory, port

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """As superuser."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="postgres",
            password=self.password,
            dbname=database,
            autocommit=True,
        )

    def make_database(self, name: str, owner: str, password: str) -> str:
        """A database whose owner may do nothing else. Returns its URL."""
        role, database = sql.Identifier(owner), sql.Identifier(name)
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))
            known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [owner]).fetchone()
            make = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}" if known is None else "ALTER ROLE {} PASSWORD {}")
            connection.execute(make.format(role, sql.Literal(password)))
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
        return self.url(name, owner, password)

    def url(self, name: str, user: str, password: str, host: str = "127.0.0.1") -> str:
        user, password, host, name = (quote(part, safe="") for part in (user, password, host, name))
        return f"postgres://{user}:{password}@{host}:{self.port}/{name}"


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    if not found:
        pytest.skip("no PostgreSQL of the system's in /usr/lib/postgresql (Debian: apt install postgresql)")
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    with own_directory(user) as directory:
        server = PostgreSQL(directory, free_port())
        (directory / "password").write_text(server.password)
        login = ("-U", "postgres", "-A", "scram-sha-256", "--pwfile", directory / "password")
        subprocess.run(
            [found[-1], "-D", directory / "data", *login, "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"],
            cwd=directory,
            user=user,
            check=True,
            capture_output=True,
        )
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": directory, "fsync": "off"}
        with running(
            found[-1].with_name("postgres"),
            *("-D", directory / "data", "-p", str(server.port)),
            *(f"--{name}={value}" for name, value in options.items()),
            directory=directory,
            user=user,
        ):

            def answers() -> bool:
                try:
                    server.connect().close()
                except psycopg.OperationalError:
                    return False
                return True

            eventually(answers, within=30, what="the start of PostgreSQL")
            yield server


# --- Redis and RabbitMQ --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Broker:
    """`pid` is the id of its process group too."""

    url: str
    port: int
    pid: int


@contextmanager
def redis(port: int | None = None) -> Iterator[Broker]:
    program = shutil.which("redis-server")
    if not program:
        pytest.skip("no redis-server (Debian: apt install redis-server)")
    with own_directory() as directory:
        port = port or free_port()
        options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "p@ss/word")
        with running(program, *options, directory=directory) as pid:
            eventually(lambda: listens(port), within=30, what="the start of Redis")
            yield Broker(f"redis://:{quote('p@ss/word', safe='')}@127.0.0.1:{port}/1", port, pid)


@contextmanager
def rabbitmq() -> Iterator[Broker]:
    program = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    epmd = shutil.which("epmd")
    if not program.exists() or not epmd:
        pytest.skip("no RabbitMQ (Debian: apt install rabbitmq-server)")
    with own_directory() as directory, ExitStack() as processes:
        port, names_port = free_port(), free_port()
        cookie = directory / ".erlang.cookie"
        cookie.write_text("ONLYFORTESTS")
        cookie.chmod(0o400)
        # Erlang's directory of nodes would otherwise be started by the node, and outlive it.
        processes.enter_context(running(epmd, "-port", str(names_port), "-address", "127.0.0.1", directory=directory))
        eventually(lambda: listens(names_port), within=30, what="the start of epmd")
        (directory / "no-plugins").write_text("[].")
        pid = processes.enter_context(
            running(
                program,
                directory=directory,
                ERL_EPMD_PORT=str(names_port),
                RABBITMQ_CONF_ENV_FILE=str(directory / "none"),
                RABBITMQ_CONFIG_FILE=str(directory / "none"),
                RABBITMQ_DIST_PORT=str(free_port()),
                RABBITMQ_ENABLED_PLUGINS_FILE=str(directory / "no-plugins"),
                RABBITMQ_LOG_BASE=str(directory),
                RABBITMQ_MNESIA_BASE=str(directory / "mnesia"),
                RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
                RABBITMQ_NODE_PORT=str(port),
                RABBITMQ_NODENAME="codenotify@localhost",
            )
        )
        eventually(lambda: listens(port), within=60, what="the start of RabbitMQ")
        yield Broker(f"amqp://guest:guest@127.0.0.1:{port}//", port, pid)
