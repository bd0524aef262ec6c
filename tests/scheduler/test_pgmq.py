"""PGMQ, the default broker, on the embedded PostgreSQL and on the system's."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kombu
import psycopg
import pytest
from django.db import OperationalError, connections
from django.db.backends.postgresql.base import DatabaseWrapper
from pgmq import PGMQueue
from pgmq.install import get_embedded_install_sql
from pytest_django import DjangoDbBlocker

from config import broker, database
from config.environment import PGMQ_IN_THE_SAME_DATABASE, database_url
from tests import servers
from tests.installation import Installation

OWNER = "code notify's \\role@home"
ANY = 'any "role\'s" \\name'
NASTY = [
    "with space",
    " space around ",
    "'quoted'",
    '"double"',
    "it's",
    "back\\slash\\",
    "\\'",
    "p@ss:w/rd?#%25&=+",
    "host=evil.example.org",
    "Größe 七",
    "$HOME`id`",
]


@pytest.fixture(autouse=True)
def _allowed(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The connections made here go to servers of the tests' own."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="module")
def debian() -> Iterator[servers.PostgreSQL]:
    with servers.postgresql() as server:
        yield server


@pytest.fixture(scope="module")
def on_debian(debian: servers.PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose database belongs to a role that is no superuser, and has a name that wants quoting."""
    installation = Installation(tmp_path_factory.mktemp("data"))
    installation.environment["DATABASE_URL"] = debian.make_database('the "code\'s" \\notify', OWNER, "p@ss' \\word")
    migrated = installation.run("migrate", "-v", "0")
    assert migrated.returncode == 0, migrated.stderr
    yield installation
    installation.stop()


@pytest.fixture(params=["embedded", "debian"])
def migrated(request: pytest.FixtureRequest) -> Installation:
    """Each of the two kinds of server, with all tables."""
    found: Installation = request.getfixturevalue("installation" if request.param == "embedded" else "on_debian")
    return found


MESSAGE = {"hello": "wörld"}
SCRIPT = f"""
from django.core.management import call_command
from django.db import connection
from config.celery import app

connection.ensure_connection()

def execute(query):
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall() if cursor.description else None

def put(queue):
    with app.connection_for_write() as broker:
        broker.SimpleQueue(queue).put({MESSAGE!r})

def get(queue):
    with app.connection_for_read() as broker:
        message = broker.SimpleQueue(queue).get(timeout=10)
        message.ack()
        return message.payload

def migrate_again():
    call_command("migrate", "scheduler", "zero", verbosity=0)
    call_command("migrate", verbosity=0)
"""

# --- The migration -------------------------------------------------------------------------------------------------


def test_a_message_is_published_and_consumed_without_any_extension(migrated: Installation) -> None:
    code = """
put("probe")
waiting = execute("SELECT count(*) FROM pgmq.q_probe")
result = [waiting, get("probe"), execute("SELECT count(*) FROM pgmq.q_probe"),
          execute("SELECT extname FROM pg_extension WHERE extname LIKE '%mq%'")]
"""
    assert migrated.python(SCRIPT + code) == [[[1]], MESSAGE, [[0]], []]


def test_a_role_that_may_nothing_but_own_its_database_is_enough(on_debian: Installation) -> None:
    code = """
put("probe")
result = [get("probe")] + execute(
    "SELECT rolsuper, rolcreatedb, rolcreaterole, rolname FROM pg_namespace JOIN pg_roles ON pg_roles.oid = nspowner "
    "WHERE nspname = 'pgmq' AND rolname = current_user")
"""
    assert on_debian.python(SCRIPT + code) == [MESSAGE, [False, False, False, OWNER]]


def test_the_migration_may_run_again_and_loses_no_message(migrated: Installation) -> None:
    code = """
put("kept")
migrate_again()
result = get("kept")
execute("SELECT pgmq.drop_queue('kept')")
"""
    assert migrated.python(SCRIPT + code) == MESSAGE


def test_a_schema_that_somebody_dropped_is_made_again(migrated: Installation) -> None:
    code = """
execute("DROP SCHEMA pgmq CASCADE")
try:
    put("probe")
except Exception as error:
    result = [str(error)]
migrate_again()
put("probe")
result.append(get("probe"))
"""
    error, message = migrated.python(SCRIPT + code)
    assert "pgmq" in error
    assert message == MESSAGE


@pytest.mark.parametrize("before", [get_embedded_install_sql(), "CREATE SCHEMA pgmq"], ids=["complete", "empty"])
def test_a_schema_that_is_there_already_is_used(debian: servers.PostgreSQL, tmp_path: Path, before: str) -> None:
    url = debian.make_database("prepared", "prepared", "secret")
    with psycopg.connect(url) as connection:
        connection.execute(before)
    installation = Installation(tmp_path)
    installation.environment["DATABASE_URL"] = url
    code = "call_command('migrate', verbosity=0); put('probe'); result = get('probe')"
    assert installation.python(SCRIPT + code) == MESSAGE


# --- The connection ------------------------------------------------------------------------------------------------


def settings_for(url: str) -> dict[str, Any]:
    settings = database.settings_for(database_url(url), Path("/nothing/is/embedded"))
    settings["OPTIONS"]["pool"]["timeout"] = 1
    return settings


def through_django(url: str, query: str = "SELECT 1") -> Any:
    """What a query says over a connection made as Django makes it."""
    # An alias of its own: Django keeps one pool for each.
    connection = DatabaseWrapper({**connections.settings["default"], **settings_for(url)}, alias="probe")
    connections["probe"] = connection
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()[0][0]
    finally:
        connection.close()
        connection.close_pool()
        del connections["probe"]


def through_the_broker(url: str, query: str = "SELECT 1") -> Any:
    """The same as Kombu's transport makes it."""
    broker_url, options = broker.settings_for(PGMQ_IN_THE_SAME_DATABASE, settings_for(url))
    with kombu.Connection(broker_url, transport_options={**options, "pool_timeout": 1}) as connection:
        transport: Any = connection.transport
        client: PGMQueue = transport._get_pgmq_client()
        return client._execute_with_result(query)[0][0]


Ask = Callable[..., Any]
both_ways = pytest.mark.parametrize("ask", [through_django, through_the_broker])


@both_ways
@pytest.mark.parametrize("password", NASTY)
def test_any_password_works(debian: servers.PostgreSQL, password: str, ask: Ask) -> None:
    url = debian.make_database("any", ANY, password)
    assert ask(url, "SELECT current_user::text") == ANY


@both_ways
def test_a_wrong_password_does_not(debian: servers.PostgreSQL, ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    debian.make_database("any", ANY, "right")
    with pytest.raises((OperationalError, psycopg.OperationalError)):
        ask(debian.url("any", ANY, "hunter2"))
    assert "hunter2" not in caplog.text


@both_ways
@pytest.mark.parametrize("name", ["a b", "it's", 'dou"ble', "back\\slash", "dbname=postgres", "七"])
def test_any_name_works(debian: servers.PostgreSQL, name: str, ask: Ask) -> None:
    assert ask(debian.make_database(name, ANY, "secret"), "SELECT current_database()::text") == name


@both_ways
def test_a_unix_socket_works(debian: servers.PostgreSQL, ask: Ask) -> None:
    debian.make_database("any", ANY, "it's")
    url = debian.url("any", ANY, "it's", host=str(debian.directory))
    assert ask(url, "SELECT inet_client_addr() IS NULL") is True


@both_ways
def test_parameters_of_the_url_go_along(debian: servers.PostgreSQL, ask: Ask) -> None:
    url = debian.make_database("any", ANY, "it's")
    asked = f"{url}?sslmode=disable&application_name=it%27s%20me&options=-c%20statement_timeout%3D4321"
    assert ask(asked, "SELECT current_setting('application_name')") == "it's me"
    assert ask(asked, "SELECT current_setting('statement_timeout')") == "4321ms"


@both_ways
def test_who_requires_encryption_gets_no_connection_without(debian: servers.PostgreSQL, ask: Ask) -> None:
    url = debian.make_database("any", ANY, "it's")
    assert ask(f"{url}?sslmode=prefer") == 1
    with pytest.raises((OperationalError, psycopg.OperationalError)):
        ask(f"{url}?sslmode=require")


@both_ways
def test_what_the_url_lacks_libpq_finds_where_it_always_does(
    debian: servers.PostgreSQL, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian.make_database("any", ANY, "it's")
    given = {"PGHOST": str(debian.directory), "PGPORT": str(debian.port), "PGUSER": ANY, "PGPASSWORD": "it's"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert ask("postgres:///any", "SELECT current_user::text") == ANY


def test_pgmq_may_be_in_another_database(debian: servers.PostgreSQL, on_debian: Installation) -> None:
    """Its client takes DATABASE_URL for its own where nobody says otherwise."""
    url = debian.make_database("queues", "queues", "p@ss' \\word")
    with psycopg.connect(url) as connection:
        connection.execute(get_embedded_install_sql())
    on_debian.python(f"{SCRIPT}put('elsewhere')", CELERY_BROKER_URL=url.replace("postgres", "pgmq", 1))
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM pgmq.q_elsewhere").fetchone() == (1,)
