"""What an operator writes into the environment or into .env, right and wrong."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from config import broker, database, environment
from contests.platforms import PLATFORMS
from tests.installation import BIN, ROOT, Installation

LONG = "x" * 100_000

# What is refused, and words of what is said instead.
REFUSED = {
    "SITE_URL": ("ftp://hunter2.example.org", "http:// or https://"),
    "ALLOWED_HOSTS": ("https://hunter2.example.org", "without scheme and port"),
    "SECRET_KEY": ("hunter2", "at least 32 characters"),
    "DATA_DIR": ("~hunter2/data", "path of a directory"),
    "DATABASE_URL": ("postgres://alice:hunter2@db.example.org:99999/codenotify", "postgres://user:password@host:5432"),
    "CELERY_BROKER_URL": ("redis//:hunter2@queue.example.org", "redis://host:6379/0"),
    "EMAIL_URL": ("smtp://alice:hunter2@", "smtp+tls://user:password@host:587"),
    "DEFAULT_FROM_EMAIL": ("hunter2", "reminders@example.org"),
    "SCHEDULING_ENABLED": ("hunter2", "true or false"),
    "RUNS_KEPT_SUCCEEDED": ("0", "whole number from 1"),
    "RUNS_KEPT_FAILED": ("-1000", "whole number from 1"),
    "RUNS_SUCCEEDED_HOURS": ("1.5", "whole number from 1"),
    "RUNS_FAILED_DAYS": ("10001", "whole number from 1 to 10000"),
    "WHATSAPP_PHONE_NUMBER_ID": ("+49 hunter2", "digits alone"),
    "WHATSAPP_TOKEN": ("hunter2 hunter2", "one word"),
    "WHATSAPP_APP_SECRET": ("hunter2 hunter2", "one word"),
    "WHATSAPP_VERIFY_TOKEN": ("hünter2 hunter2", "one word"),
    "WHATSAPP_LANGUAGE": ("hunter2", "such as en or en_US"),
    "WHATSAPP_REMINDER_TEMPLATE": ("Hunter2", "small letters, digits and underscores"),
    "WHATSAPP_CHANGE_TEMPLATE": ("hunter2-", "small letters, digits and underscores"),
    "WHATSAPP_DIGEST_TEMPLATE": ("hunter2 hunter2", "small letters, digits and underscores"),
    "WHATSAPP_VERIFICATION_TEMPLATE": ("hunter2!", "small letters, digits and underscores"),
    "WHATSAPP_URL": ("hunter2.example.org", "http:// or https://"),
    "VAPID_PRIVATE_KEY": ("hunter2", "make_vapid_key"),
    "VAPID_SUBJECT": ("hunter2@example.org", "mailto:somebody@example.org"),
    "PUSH_TRUSTED_ORIGINS": ("https://push.example.org/hunter2", "without a path"),
    "PORT": ("hunter2", "1 to 65535"),
    "LOG_LEVEL": ("hunter2", "DEBUG, INFO, WARNING, ERROR"),
    "DEBUG": ("hunter2", "true or false"),
    **{f"{code.upper()}_URL": ("hunter2.example.org", "http:// or https://") for code in PLATFORMS},
}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """One without tables: nothing here needs any."""
    return Installation(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, beside whose manage.py an .env can lie without getting in anybody's way."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("config", "contests", "notifications", "scheduler"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("manage.py", "Makefile", ".env.example"):
        shutil.copy(ROOT / name, copy)
    return copy


def finish(*command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command with nothing in its environment but these variables; whatever it started is ended after a minute."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, complained = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, said, complained)


def run(checkout: Path, env_file: str | bytes, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Python in a copy of the project with this .env."""
    (checkout / ".env").write_bytes(env_file.encode() if isinstance(env_file, str) else env_file)
    return finish(sys.executable, *command, cwd=checkout, **variables)


def settings(checkout: Path, env_file: str, **variables: str) -> list[str]:
    """Everything that is not Django's default, a line each."""
    finished = run(checkout, env_file, "manage.py", "diffsettings", **variables)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


def the_line(complaint: str) -> str:
    """The only line there."""
    (line,) = complaint.splitlines()
    assert line.startswith("CodeNotify cannot start: ")
    assert line.endswith(".")
    assert "hunter2" not in line
    return line


# --- Bad values stop the start -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_value_stops_the_start_with_one_line_that_names_the_variable(
    installation: Installation, name: str
) -> None:
    value, expected = REFUSED[name]
    finished = installation.run("check", **{name: value})
    assert (finished.returncode, finished.stdout) == (1, "")
    line = the_line(finished.stderr)
    assert line.startswith(f"CodeNotify cannot start: {name} must ")
    assert expected in line


def test_no_variable_is_left_out_here(checkout: Path) -> None:
    assert set(REFUSED) == read_by_settings(checkout)


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["celery", "-A", "config", "worker"], 1),
        (["celery", "--quiet", "-A", "config", "beat"], 1),
        (["python", "manage.py", "up"], 1),
        (["python", "manage.py", "demo"], 1),
        (["make", "-s", "-o", "install", "run", f"BIN={BIN}"], 2),
        (["gunicorn", "config.wsgi", "--bind", "127.0.0.1:0", "--no-control-socket"], 3),
    ],
    ids=["worker", "beat", "up", "demo", "make run", "gunicorn"],
)
def test_every_way_to_start_ends_with_that_line(installation: Installation, command: list[str], status: int) -> None:
    if not (program := shutil.which(command[0], path=f"{BIN}:{os.environ['PATH']}")):
        pytest.skip(f"{command[0]} is not installed")
    variables = {**installation.environment, "EMAIL_URL": "smtp://alice:hunter2@"}
    finished = finish(program, *command[1:], cwd=ROOT, **variables)
    assert finished.returncode == status
    said = [line for line in finished.stderr.splitlines() if "CodeNotify" in line]
    assert "EMAIL_URL" in the_line("\n".join(said))
    assert "Traceback" not in finished.stderr
    assert "hunter2" not in finished.stdout + finished.stderr


def refusal(parse: Callable[[str], Any], value: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SOME_VARIABLE", value)
    with pytest.raises(SystemExit) as stopped:
        environment.read("SOME_VARIABLE", parse, None)
    return the_line(str(stopped.value.code))


NASTY: list[tuple[Callable[[str], Any], list[str]]] = [
    (
        environment.port,
        ["0", "-1", "65536", "99999", "8000.0", "8e3", "0x50", "٣٠٠٠", "+80", "8 000", "9" * 5000, "http://x:80"],
    ),
    (environment.boolean, ["tru", "2", "-1", "yes please", "ja", LONG]),
    (environment.choice("INFO"), ["infos", "10", "INFO,DEBUG"]),
    (environment.secret, ["x", "x" * 31]),
    (environment.digits, ["-1", "1.5", "٣", "1 2", LONG]),
    (environment.word, ["two words", "wörd", LONG]),
    (environment.language, ["english", "EN", "en-US", "en_", "e", LONG]),
    (environment.template_name, ["Contest", "contest reminder", "contest-reminder", "ü", LONG]),
    (environment.directory(Path("/")), ["~nobody-of-this-name/data"]),
    (
        environment.host_names,
        [
            ",",
            "example.org:8000",
            "http://example.org",
            "exa mple.org",
            "*.example.org",
            "::1",
            "[::1",
            "[example]",
            "-x",
        ],
    ),
    (
        environment.mail_address,
        ["alice", "alice@", "@example.org", "a@example.org, b@example.org", "Notify, Inc. <a@example.org>", "<>", LONG],
    ),
    (
        environment.site_address,
        [
            "example.org",
            "//example.org",
            "https://",
            "https:///",
            "https://:8000",
            "https://exa mple.org",
            "https://example.org:0",
            "https://example.org:99999",
            "https://example.org:-1",
            "https://example.org:port",
            "https://example.org/reminders",
            "https://example.org/?page=1",
            "https://example.org/#top",
            "https://alice:hunter2@example.org",
            "https://[::1",
            "https://[example]",
            "https://-example.org",
            "https://example..org",
            "https://пример..рф",
            f"https://{LONG}ü",
            "javascript:alert(1)",
        ],
    ),
    (
        environment.web_address,
        ["ftp://example.org", "https://alice:hunter2@example.org/x", "https://example.org/x?y=z"],
    ),
    (
        environment.database_url,
        [
            "hunter2",
            "mysql://db/codenotify",
            "sqlite:///codenotify.db",
            "postgres://",
            "postgres://db",
            "postgres://db/",
            "postgres:///",
            "postgres://db:0/codenotify",
            "postgres://db:99999/codenotify",
            "postgres://db:-1/codenotify",
            "postgres://db:port/codenotify",
            "postgres://alice:hunter2@db1:5432,db2:99999/codenotify",
            "postgres://alice:hunter2@exa%20mple/codenotify",
            "postgres://alice:hun@ter2@db/codenotify",
            "postgres://alice:12/hunter2@db/codenotify",
            "postgres://alice:hun%ter2@db/codenotify",
            "postgres://alice:hunter2 @db/codenotify",
            "postgres://alice:hunter2@[::1/codenotify",
            "postgres://alice:hunter2@db/codenotify?colour=red",
            "postgres://alice:hunter2@db/codenotify?CONN_MAX_AGE=60",
            "postgres://alice:hunter2@db/codenotify?pool=true",
            "postgres://db/" + "x" * 64,
            "postgres://db/" + LONG,
        ],
    ),
    (
        environment.broker_url,
        [
            "hunter2",
            "memory://",
            "redis://",
            "redis://:hunter2@",
            "redis://queue:99999/0",
            "redis://queue:0/0",
            "redis://queue/hunter2",
            "redis://queue/-1",
            "redis://:hunter2#3@queue/0",
            "redis://:hunt er2@queue/0",
            "amqp://",
            "amqp://alice:hunter2@queue:port//",
            "amqp://alice:hunter2@queue1:5672;amqp://alice:hunter2@queue2:5672",
            "pgmq://",
            "pgmq://db",
            "pgmq://alice:hunter2@db:99999/queues",
        ],
    ),
    (
        environment.email_url,
        [
            "smtp://",
            "smtps://mail.example.org",
            "consolemail://",
            "smtp://mail.example.org:0",
            "smtp://mail.example.org:99999",
            "smtp://mail example.org",
            "smtp://alice@mail.example.org",
            "smtp://:hunter2@mail.example.org",
            "smtp://alice:hunter2",
            "smtp://alice:25#hunter2@mail.example.org",
            "smtp://alice:25/hunter2@mail.example.org",
            "smtp://alice:25?hunter2@mail.example.org",
            "smtp://mail.example.org?timeout=5",
            "smtp://mail.example.org/hunter2",
        ],
    ),
]


@pytest.mark.parametrize(
    ("parse", "value"),
    [
        pytest.param(parse, value, id=f"{value[:40]!a}-{n}")
        for n, (parse, values) in enumerate(NASTY)
        for value in values
    ],
)
def test_what_makes_no_sense_is_refused_without_being_shown(
    parse: Callable[[str], Any], value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "SOME_VARIABLE must " in refusal(parse, value, monkeypatch)


@pytest.mark.parametrize("value", ["hun\nter2", "hun\rter2", "hun\x7fter2", "hun\udcffter2", "hun\x1b[1mter2"])
def test_a_value_is_one_line_of_text(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "one line of UTF-8 text" in refusal(str, value, monkeypatch)


WHATSAPP = {
    "WHATSAPP_PHONE_NUMBER_ID": "106540352242922",
    "WHATSAPP_TOKEN": "hunter2",
    "WHATSAPP_APP_SECRET": "hunter2",
    "WHATSAPP_VERIFY_TOKEN": "hunter2",
}


@pytest.mark.parametrize("missing", WHATSAPP)
def test_half_a_whatsapp_stops_the_start_and_says_what_is_missing(installation: Installation, missing: str) -> None:
    finished = installation.run("check", **{**WHATSAPP, missing: ""})
    assert finished.returncode == 1
    assert the_line(finished.stderr).startswith(
        f"CodeNotify cannot start: {missing} must be set too, because WHATSAPP_"
    )


def test_a_value_in_another_encoding_stops_a_real_start_too(installation: Installation) -> None:
    finished = installation.run("check", DEFAULT_FROM_EMAIL="J\udcf6rg <joerg@example.org>")
    assert finished.returncode == 1
    assert "DEFAULT_FROM_EMAIL must be one line of UTF-8 text" in the_line(finished.stderr)


@pytest.mark.parametrize(
    "value",
    ["A" * 43, "_" * 42 + "8", "A" * 42, "A" * 44, "A" * 42 + "=", "+" * 43, "é" * 43],
    ids=["zero", "more than the curve has", "short", "long", "padded", "of the other alphabet", "no ASCII"],
)
def test_a_key_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "make_vapid_key" in refusal(environment.vapid_key, value, monkeypatch)


@pytest.mark.parametrize(
    "value", ["mailto:", "mailto:alice", "http://example.org/", "https://", "tel:110", "alice@a.org"]
)
def test_a_subject_that_nobody_reads_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "mailto:somebody@example.org" in refusal(environment.contact, value, monkeypatch)


@pytest.mark.parametrize("value", ["push.example.org", "https://a.org,b.org", "https://a.org/x", "ftp://a.org"])
def test_an_origin_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "separated by commas" in refusal(environment.origins, value, monkeypatch)


# --- Good values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "  ", "\t"])
def test_empty_counts_as_unset(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_VARIABLE", value)
    assert environment.read("SOME_VARIABLE", environment.port, 8000) == 8000
    monkeypatch.delenv("SOME_VARIABLE")
    assert environment.read("SOME_VARIABLE", environment.port, 8000) == 8000


def test_everything_empty_is_everything_by_default(checkout: Path) -> None:
    assert settings(checkout, "", **dict.fromkeys(REFUSED, "")) == settings(checkout, "")


def test_space_around_a_value_is_not_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_VARIABLE", " 8001 ")
    assert environment.read("SOME_VARIABLE", environment.port, 8000) == 8001


def test_origins_are_read_as_browsers_say_them() -> None:
    assert environment.origins("https://Push.Example.org:443/, http://[::1]:8080,") == [
        "https://push.example.org",
        "http://[::1]:8080",
    ]


def test_true_and_false_have_four_names_each() -> None:
    assert [environment.boolean(name) for name in ("true", "YES", "On", "1")] == [True] * 4
    assert [environment.boolean(name) for name in ("false", "NO", "Off", "0")] == [False] * 4


def test_ports_go_from_first_to_last() -> None:
    assert [environment.port(port) for port in ("1", "080", "65535")] == [1, 80, 65535]


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://example.org/", "https://example.org"),
        ("HTTPS://Example.ORG:443", "https://example.org"),
        ("http://example.org:80/", "http://example.org"),
        ("https://example.org:80", "https://example.org:80"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://пример.рф", "https://xn--e1afmkfd.xn--p1ai"),
        ("http://codenotify_web", "http://codenotify_web"),
    ],
)
def test_the_sites_address_is_written_as_browsers_write_it(value: str, address: str) -> None:
    assert environment.site_address(value) == address


def test_a_platform_may_be_asked_below_a_path() -> None:
    assert environment.web_address("http://127.0.0.1:8901/codeforces/") == "http://127.0.0.1:8901/codeforces"


def test_host_names_are_a_list() -> None:
    given = "Example.org, .example.com,127.0.0.1,[::1],*,пример.рф,.пример.рф"
    assert environment.host_names(given) == [
        "example.org",
        ".example.com",
        "127.0.0.1",
        "[::1]",
        "*",
        "xn--e1afmkfd.xn--p1ai",
        ".xn--e1afmkfd.xn--p1ai",
    ]


@pytest.mark.parametrize(
    "value",
    ["a@example.org", "CodeNotify <a@localhost>", '"Notify, Inc." <a@example.org>', "Erinnerung ü <a@example.org>"],
)
def test_the_sender_may_have_a_name(value: str) -> None:
    assert environment.mail_address(value) == value


def a_database(**parts: Any) -> dict[str, Any]:
    return {"NAME": "codenotify", "USER": "", "PASSWORD": "", "HOST": "", "PORT": "", "OPTIONS": {}, **parts}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            "postgres://alice:pass@db.example.org:5433/codenotify",
            a_database(USER="alice", PASSWORD="pass", HOST="db.example.org", PORT="5433"),
        ),
        ("postgresql://db_1/codenotify", a_database(HOST="db_1")),
        (
            "postgres://al%40ice:%20%27%22%5C%2F%3A%40%23%25%C3%BC@db/codenotify",
            a_database(USER="al@ice", PASSWORD=" '\"\\/:@#%ü", HOST="db"),
        ),
        ("postgres://alice:p#ss@db/codenotify", a_database(USER="alice", PASSWORD="p#ss", HOST="db")),
        (
            "postgres://db/codenotify?sslmode=require&connect_timeout=5&options=-c%20jit%3Doff",
            a_database(HOST="db", OPTIONS={"sslmode": "require", "connect_timeout": "5", "options": "-c jit=off"}),
        ),
        ("postgres:///codenotify", a_database()),
        ("postgres://%2Fvar%2Frun%2Fpostgresql/codenotify", a_database(HOST="/var/run/postgresql")),
        ("postgres:////var/run/postgresql/codenotify", a_database(HOST="/var/run/postgresql")),
        ("postgres:///codenotify?host=/run/pg&port=5433", a_database(HOST="/run/pg", PORT="5433")),
        ("postgres://[::1]:5433/codenotify", a_database(HOST="::1", PORT="5433")),
        (
            "postgres://db1:5432,db2:5433/codenotify?target_session_attrs=read-write",
            a_database(HOST="db1,db2", PORT="5432,5433", OPTIONS={"target_session_attrs": "read-write"}),
        ),
        ("postgres://db/%E4%B8%83", a_database(HOST="db", NAME="七")),
    ],
)
def test_a_database_url_means_what_it_means_to_libpq(value: str, expected: dict[str, Any]) -> None:
    assert environment.database_url(value) == expected


@pytest.mark.parametrize(
    ("value", "host", "port", "user", "password", "tls", "ssl"),
    [
        ("smtp://localhost", "localhost", 25, "", "", False, False),
        ("smtp://user:p@ss@host:25", "host", 25, "user", "p@ss", False, False),
        ("smtp+tls://alice%40example.org:%2F%23%3F%25@mail", "mail", 587, "alice@example.org", "/#?%", True, False),
        ("smtp+ssl://alice:pass@mail.example.org", "mail.example.org", 465, "alice", "pass", False, True),
        ("smtp+ssl://alice:pass@[::1]:2465/", "::1", 2465, "alice", "pass", False, True),
    ],
)
def test_a_mail_servers_url_says_all_about_it(
    value: str, host: str, port: int, user: str, password: str, tls: bool, ssl: bool
) -> None:
    assert environment.email_url(value) == {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": host,
        "EMAIL_PORT": port,
        "EMAIL_HOST_USER": user,
        "EMAIL_HOST_PASSWORD": password,
        "EMAIL_USE_TLS": tls,
        "EMAIL_USE_SSL": ssl,
    }


@pytest.mark.parametrize(
    "value",
    [
        "redis://localhost",
        "redis://:p%40ss@queue:6380/3",
        "rediss://alice:pass@queue.example.org:6379/0?ssl_cert_reqs=required",
        "redis://[::1]:6379/0",
        "amqp://queue",
        "amqp://alice:p%2Fss@queue:5672//",
        "amqps://alice:pass@queue.example.org/codenotify",
    ],
)
def test_redis_and_rabbitmq_urls_go_to_celery_as_they_are(value: str) -> None:
    assert broker.settings_for(environment.broker_url(value), {})[0] == value


def test_pgmq_elsewhere_is_not_the_same_database(monkeypatch: pytest.MonkeyPatch) -> None:
    here = a_database(HOST="here")
    elsewhere = environment.broker_url("pgmq://alice:p%20ss@elsewhere:5433/queues?sslmode=require")
    expected = a_database(
        NAME="queues", USER="alice", PASSWORD="p ss", HOST="elsewhere", PORT="5433", OPTIONS={"sslmode": "require"}
    )
    assert broker.settings_for(elsewhere, here)[1]["conn_string"] == database.pgmq_conninfo(expected)
    assert broker.settings_for("pgmq://localhost", here)[1]["conn_string"] == database.pgmq_conninfo(here)


def test_every_kind_of_good_value_starts(installation: Installation) -> None:
    given = {
        "SITE_URL": "https://codenotify.example.org",
        "ALLOWED_HOSTS": "codenotify.example.org",
        "SECRET_KEY": "x" * 32,
        "DATABASE_URL": "postgres://alice:%20%27@db/codenotify?sslmode=require",
        "CELERY_BROKER_URL": "rediss://:%40@queue/1",
        "EMAIL_URL": "smtp+tls://alice:%40@mail.example.org",
        "DEFAULT_FROM_EMAIL": "Erinnerung <a@example.org>",
        **WHATSAPP,
        "WHATSAPP_LANGUAGE": "pt_BR",
        "WHATSAPP_URL": "https://graph.facebook.com/v24.0/",
        "VAPID_PRIVATE_KEY": "A" * 42 + "E",
        "VAPID_SUBJECT": "https://example.org/contact",
        "PUSH_TRUSTED_ORIGINS": "https://push.example.org, http://127.0.0.1:8080",
        "SCHEDULING_ENABLED": "off",
        "PORT": "8001",
        "LOG_LEVEL": "debug",
        "DEBUG": "no",
    }
    finished = installation.run("check", "--deploy", **given)
    assert finished.returncode == 0, finished.stderr


# --- .env ----------------------------------------------------------------------------------------------------------


def test_variables_come_from_the_file_env(checkout: Path) -> None:
    plain = "PORT=8001\r\n\n  # a comment\nexport DEFAULT_FROM_EMAIL='Ünser <a@example.org>'\nLOG_LEVEL=\"error\"\n"
    for content in (plain, f"\ufeff{plain}"):
        found = settings(checkout, content)
        assert {"PORT = 8001  ###", "LOG_LEVEL = 'ERROR'  ###"} <= set(found)
        assert any("Ünser <a@example.org>" in line for line in found)


def test_the_environment_comes_before_the_file(checkout: Path) -> None:
    assert "PORT = 8002  ###" in settings(checkout, "PORT=8001\n", PORT="8002")
    assert "PORT = 8000  ###" in settings(checkout, "PORT=8001\n", PORT="")


def test_a_bad_value_in_the_file_is_a_bad_value(checkout: Path) -> None:
    finished = run(checkout, "EMAIL_URL=smtp://alice:hunter2@\n", "manage.py", "check")
    assert finished.returncode == 1
    assert "EMAIL_URL must" in the_line(finished.stderr)


@pytest.mark.parametrize(
    "line", [b"EMAIL_URL = smtp://alice:hunter2@mail", b"EMAIL_URL: hunter2", b"hunter2", b"SECRET_KEY=hunter2\0"]
)
def test_a_line_of_the_file_that_says_nothing_stops_the_start_and_is_not_shown(checkout: Path, line: bytes) -> None:
    finished = run(checkout, b"PORT=8001\n\n" + line, "manage.py", "check")
    assert finished.returncode == 1
    assert "line 3 of .env must be NAME=value" in the_line(finished.stderr)


def test_a_file_in_another_encoding_stops_the_start(checkout: Path) -> None:
    finished = run(checkout, "DEFAULT_FROM_EMAIL=Jörg <hunter2@example.org>".encode("latin-1"), "manage.py", "check")
    assert finished.returncode == 1
    assert ".env cannot be read (it is not UTF-8)" in the_line(finished.stderr)


def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        environment.read_file(tmp_path)
    assert "cannot be read (Is a directory)" in the_line(str(stopped.value.code))


def test_no_file_is_fine(tmp_path: Path) -> None:
    environment.read_file(tmp_path / ".env")


def test_make_leaves_the_port_to_the_file(checkout: Path) -> None:
    if not (make := shutil.which("make")):
        pytest.skip("make is not installed")
    (checkout / ".env").write_text("PORT=hunter2\n")
    finished = finish(make, "-s", "-o", "install", "run", f"BIN={BIN}", cwd=checkout)
    assert "PORT must be a port number" in finished.stderr


# --- DATA_DIR and what is kept there -------------------------------------------------------------------------------


def test_a_data_directory_that_cannot_be_written_to_stops_the_start(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "data", Path("/proc/codenotify")):
        finished = installation.run("check", DATA_DIR=str(path))
        assert finished.returncode == 1
        line = the_line(finished.stderr)
        assert "DATA_DIR" in line
        assert "must be a directory to write to" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_of_somebody_else_stops_the_start(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SystemExit, match="Permission denied"):
        environment.require_writable("DATA_DIR", tmp_path)


def test_a_data_directory_that_nobody_needs_is_left_alone(installation: Installation, tmp_path: Path) -> None:
    given = {
        "DATA_DIR": str(tmp_path / "data"),
        "SECRET_KEY": "x" * 32,
        "DATABASE_URL": "postgres://db/codenotify",
        "EMAIL_URL": "smtp://mail.example.org",
    }
    assert installation.run("check", **given).returncode == 0
    assert not (tmp_path / "data").exists()


def test_a_relative_data_directory_is_the_same_for_every_process(checkout: Path) -> None:
    found = settings(checkout, "DATA_DIR=somewhere\n")
    assert f"DATA_DIR = {checkout.resolve() / 'somewhere'!r}  ###" in found
    assert environment.directory(ROOT)("~/x") == Path("~/x").expanduser().resolve()


def test_many_processes_at_once_make_one_secret_that_only_its_owner_reads(tmp_path: Path) -> None:
    file = tmp_path / "secret-key"
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda _: environment.kept_secret("SECRET_KEY", file), range(8)))
    assert len(set(kept)) == 1
    assert kept[0] == environment.kept_secret("SECRET_KEY", file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]


@pytest.mark.parametrize("content", [b"", b"hunter2", b"\xff" * 40])
def test_a_kept_secret_that_is_none_stops_the_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret-key").write_bytes(content)
    with pytest.raises(SystemExit) as stopped:
        environment.kept_secret("SECRET_KEY", tmp_path / "secret-key")
    assert "SECRET_KEY is unset, and the file secret-key in DATA_DIR holds none" in the_line(str(stopped.value.code))


# --- What is written about them ------------------------------------------------------------------------------------


def read_by_settings(checkout: Path) -> set[str]:
    """The names that the settings really ask for."""
    script = (
        "import json, config.environment as e; names = []; read = e.read\n"
        "e.read = lambda name, *rest: (names.append(name), read(name, *rest))[1]\n"
        "import config.settings; print(json.dumps(names))"
    )
    finished = run(checkout, "", "-c", script)
    assert finished.returncode == 0, finished.stderr
    return set(json.loads(finished.stdout))


def test_settings_example_and_readme_name_the_same_variables(checkout: Path) -> None:
    names = read_by_settings(checkout)
    assert set(re.findall(r"^# ([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M)) == names
    section = (ROOT / "README.md").read_text().partition("\n## Configure it\n")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`[^|]+) \|", section, re.M)
    assert {name for cell in first_cells for name in re.findall(r"`([A-Z_]+)`", cell)} == names


def test_the_example_shows_the_defaults(checkout: Path) -> None:
    example = (checkout / ".env.example").read_text()
    taken, count = re.subn(r"^# ([A-Z_]+=)", r"\1", example, flags=re.M)
    assert count == len(REFUSED)
    assert settings(checkout, taken) == settings(checkout, example) == settings(checkout, "")
