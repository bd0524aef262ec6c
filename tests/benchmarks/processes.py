"""Beat and worker as processes of their own, as they run in production."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import psutil

from tests.benchmarks.__main__ import DATA_DIR
from tests.benchmarks.noop import DONE
from tests.installation import BIN, ROOT


@contextmanager
def running(app: str, *arguments: str, **environment: str) -> Iterator[psutil.Process]:
    """`celery -A tests.benchmarks.noop:app …` while the block runs; its output is in the data directory."""
    done = DATA_DIR / "done"
    done.touch()
    with open(DATA_DIR / "processes.log", "ab") as log:
        process = subprocess.Popen(
            [str(BIN / "celery"), "-A", f"tests.benchmarks.noop:{app}", *arguments],
            cwd=ROOT,
            env={**os.environ, "SCHEDULING_ENABLED": "true", DONE: str(done), **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def beat(**environment: str) -> AbstractContextManager[psutil.Process]:
    return running("recorded", "beat", "--pidfile=", **environment)


def worker(app: str = "recorded", **environment: str) -> AbstractContextManager[psutil.Process]:
    return running(app, "worker", "-c", "2", **environment)


def processor_seconds(process: psutil.Process) -> float:
    """What it and its children have used, those that ended too."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(time.user + time.system for time in times) + times[0].children_user + times[0].children_system)
