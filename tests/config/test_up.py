"""The whole stack in one terminal, stopped while a job runs."""

import signal
import socket
import time
from pathlib import Path
from typing import Any

from django.utils import timezone

from config.demo.server import WorldServer
from config.demo.world import World
from config.management.commands.up import PATIENCE
from tests.installation import Installation, eventually
from tests.smtp import free_port


def run(installation: Installation) -> dict[str, Any]:
    (found,) = installation.json("runs", "--job", "sync_contests")["runs"]
    return dict(found)


def test_a_job_that_does_not_finish_when_everything_stops_is_run_again_after_the_next_start(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    assert installation.run("migrate", "-v", "0").returncode == 0
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        up = installation.start("python", "manage.py", "up", "--port", str(free_port()), CODECHEF_URL=url)
        try:
            asked = installation.run("run_job", "sync_contests", "--arg", 'platforms=["codechef"]')
            assert asked.returncode == 0, asked.stderr
            silent.settimeout(60)
            with silent.accept()[0]:
                assert run(installation)["status"] == "running"
                began = time.monotonic()
                up.send_signal(signal.SIGINT)
                assert up.wait(PATIENCE + 20) == 0
                assert time.monotonic() - began >= PATIENCE, "it was given its time"
        finally:
            installation.stop()
    assert f"what runs then has {PATIENCE} seconds" in installation.log()
    assert "SIGKILL" not in installation.log()
    assert (run(installation)["status"], run(installation)["attempt"]) == ("queued", 2)

    with WorldServer(World.around(timezone.now())) as world:
        port = str(free_port())
        installation.start("python", "manage.py", "up", "--port", port, CODECHEF_URL=world.url_of("codechef"))
        try:
            eventually(lambda: run(installation)["status"] == "succeeded", what="the second attempt")
        finally:
            installation.stop()
    assert (run(installation)["attempt"], run(installation)["failures"]) == (2, 0)
