"""Jobs that take their time, fail at times and kill themselves at times, and write down that they came to their end.

What they write is no part of the ledger that is tried here: a line in a file, from which the verdict is reckoned.
"""

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from celery import shared_task

FILE = "COMPLETIONS"
"""The environment variable that names the file."""


@shared_task(bind=True)
def suffer(self: Any, longest: float = 0.5, failing: float = 0.0, dying: float = 0.0, children: float = 0.0) -> None:
    """Take up to `longest` seconds. The others are probabilities, the first two of the first attempt only."""
    attempt = self.request.run_attempt
    luck = random.Random(f"{self.request.id} {attempt}")
    time.sleep(luck.uniform(0, longest))
    if attempt == 1 and luck.random() < failing:
        raise ConnectionError("The first attempt fails.")
    if attempt == 1 and luck.random() < dying:
        os.kill(os.getpid(), signal.SIGKILL)
    if luck.random() < children:
        suffer.delay(longest=longest)
    _complete(self.request.id, attempt)


def _complete(run: str, attempt: int) -> None:
    """One write of one short line, so that those of several processes never mix."""
    file = os.open(Path(os.environ[FILE]), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{run} {attempt}\n".encode())
    finally:
        os.close(file)
