"""A CodeNotify of its own: its own data directory and embedded PostgreSQL, run as its user runs it, by processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


class Installation:
    """`environment` is what its processes see besides PATH and HOME. Everything started here is ended by `stop`."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.environment = {"DATA_DIR": str(data_dir), "SCHEDULING_ENABLED": "true"}
        self._processes: list[subprocess.Popen[bytes]] = []

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`manage.py` with these arguments, to its end."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self._environment(environment),
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    def json(self, *arguments: str, **environment: str) -> Any:
        """What a command prints with --json."""
        finished = self.run(*arguments, "--json", **environment)
        assert finished.stdout, finished.stderr
        return json.loads(finished.stdout)

    def python(self, code: str, **environment: str) -> Any:
        """The value of `result` after running the code inside this installation."""
        script = f"import json\n{code}\nprint('RESULT', json.dumps(globals().get('result'), default=str))"
        finished = self.run("shell", "-v", "0", "-c", script, **environment)
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout.rpartition("RESULT ")[2])

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """A process that goes on; its output is in `log()`."""
        with open(self.data_dir / "processes.log", "ab") as log:
            process = subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                cwd=ROOT,
                env=self._environment(environment),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def log(self) -> str:
        return (self.data_dir / "processes.log").read_text(errors="replace")

    def stop(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._processes.clear()

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "DATABASE_URL": "", "CELERY_BROKER_URL": "", "EMAIL_URL": "", **self.environment, **more}


def eventually(condition: Callable[[], Any], *, within: float = 60.0, what: str = "it") -> Any:
    """The condition's value as soon as it is true; looks again until then, and fails after `within` seconds."""
    give_up_at = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < give_up_at, f"{what} did not happen within {within} seconds"
        time.sleep(0.1)
    return value
