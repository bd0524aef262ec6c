"""The embedded PostgreSQL, used and broken as it will be."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.installation import Installation, eventually

COUNT = "from django.contrib.auth.models import User\nresult = User.objects.count()"
ADD = "from django.contrib.auth.models import User\nUser.objects.create(username='alice')"


def postmaster(installation: Installation) -> psutil.Process | None:
    """The server's process, where it runs."""
    file = installation.data_dir / "postgres" / "postmaster.pid"
    try:
        process = psutil.Process(int(file.read_text().splitlines()[0]))
        return process if process.name() == "postgres" else None
    except (FileNotFoundError, IndexError, psutil.NoSuchProcess):
        return None


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(tmp_path)
    yield installation
    installation.stop()


def test_it_starts_by_itself_keeps_its_data_and_stops_with_its_last_user(installation: Installation) -> None:
    installation.python(ADD)
    assert postmaster(installation) is None, "nobody uses it, so it has stopped"
    assert installation.python(COUNT) == 1


def test_a_space_or_a_quotation_mark_in_its_path_is_no_obstacle(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "Alice's data")
    assert installation.python("from django.db import connection as c\nc.ensure_connection()\nresult = 1") == 1


def test_many_processes_that_start_at_once_share_one_server(fresh: Installation) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(
            pool.map(
                lambda _: fresh.python(
                    "from django.db import connection as c\n"
                    "with c.cursor() as cursor:\n    cursor.execute('SELECT pg_postmaster_start_time()')\n"
                    "    result = 'ok'"
                ),
                range(6),
            )
        )
    assert found == ["ok"] * 6
    eventually(lambda: postmaster(fresh) is None, what="the stop of the server after its last user")


def test_it_survives_a_kill_of_everything(installation: Installation) -> None:
    before = installation.python(COUNT)
    sleeper = installation.start(
        "python", "manage.py", "shell", "-v", "0", "-c", f"{COUNT}\nimport time; time.sleep(60)"
    )
    server = eventually(lambda: postmaster(installation), what="the start of the server")
    eventually(lambda: len(server.children()) > 5, what="the server's own processes")

    for process in [server, *server.children()]:  # in this order: it would put new ones in the place of killed ones
        with suppress(psutil.NoSuchProcess):
            process.kill()
    os.killpg(sleeper.pid, signal.SIGKILL)
    sleeper.wait()

    assert installation.python(COUNT) == before
    assert postmaster(installation) is None, "the killed process does not keep the server alive for ever"


def test_a_process_goes_on_when_the_server_was_killed_under_it(installation: Installation) -> None:
    code = (
        f"{COUNT}\nbefore = result\n"
        "from pathlib import Path\nimport psutil\nfrom django.conf import settings\nfrom django.db import connection\n"
        "connection.close()\n"
        "pid = int((Path(settings.DATA_DIR) / 'postgres' / 'postmaster.pid').read_text().split()[0])\n"
        "server = psutil.Process(pid)\nprocesses = [server, *server.children()]\n"
        "for process in processes:\n    process.kill()\n"
        "psutil.wait_procs(processes)\n"
        "result = [before, User.objects.count()]"
    )
    before, after = installation.python(code)
    assert before == after


def test_a_pid_file_that_names_another_process_is_no_server(installation: Installation) -> None:
    file = installation.data_dir / "postgres" / "postmaster.pid"
    lines = [str(os.getpid()), str(file.parent), "1700000000", "5432", str(file.parent), "", "1 1", "ready   "]
    file.write_text("\n".join(lines) + "\n")
    assert isinstance(installation.python(COUNT), int)


def test_a_first_start_that_was_interrupted_is_begun_again(fresh: Installation) -> None:
    unfinished = fresh.data_dir / "postgres.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    assert fresh.run("migrate", "-v", "0").returncode == 0


def test_a_data_directory_too_long_for_a_socket_says_so(tmp_path: Path) -> None:
    finished = Installation(tmp_path).run("migrate", DATA_DIR=str(tmp_path / ("x" * 120)))
    assert finished.returncode == 1
    assert finished.stderr.count("\n") == 1
    assert "DATA_DIR" in finished.stderr
