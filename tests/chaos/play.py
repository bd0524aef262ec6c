"""A performance from the first process to the verdict."""

import heapq
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import count

from django.core.management import call_command

from tests.chaos.brokers import BROKERS
from tests.chaos.plan import KILLS, QUIET_AT_FIRST, Blow, Step, planned
from tests.chaos.schedules import Made, make
from tests.chaos.stage import NotNow, Stage, Struck
from tests.chaos.verdict import completions_in, is_over, table, verdict_of, verdict_of_children
from tests.installation import Installation, eventually

SETTLING = 120.0
"""Seconds after the last blow within which everything has to be finished."""

IMPATIENCE = 0.5
"""Seconds until something is tried again that cannot be done now."""


def play(installation: Installation, broker_name: str, seed: int, seconds: float, kills: int) -> int:
    """Returns the exit status: whether everything came, was recorded and was finished once."""
    call_command("migrate", verbosity=0)
    broker = BROKERS[broker_name]()
    stage = Stage(installation, broker)
    try:
        broker.start()
        installation.environment["CELERY_BROKER_URL"] = broker.url
        made = make(QUIET_AT_FIRST + seconds)
        stage.start()
        break_things(stage, planned(seed, kills, seconds, [Blow.KILL_DATABASE, Blow.RESTART_DATABASE, *broker.blows]))
        return _judge(installation, stage, made)
    finally:
        stage.end()


def break_things(stage: Stage, steps: Sequence[Step]) -> None:
    """Strike as planned, and bring back what was struck after its rest. Returns when all of it is back."""
    began = time.monotonic()
    number = count()
    agenda: list[tuple[float, int, Step | Struck]] = [(step.at, next(number), step) for step in steps]
    while agenda:
        at, _, what = heapq.heappop(agenda)
        while (left := began + at - time.monotonic()) > 0:
            stage.revive()
            time.sleep(min(1.0, left))
        now = time.monotonic() - began
        if not isinstance(what, Step):
            if not what.start():
                heapq.heappush(agenda, (now + IMPATIENCE, next(number), what))
            continue
        try:
            struck = stage.strike(what.blow, what.target)
        except NotNow:
            heapq.heappush(agenda, (now + IMPATIENCE, next(number), what))
            continue
        print(f"{now:6.1f} s  {what.blow}", flush=True)
        for part in struck:
            heapq.heappush(agenda, (now + what.rest, next(number), part))


def _judge(installation: Installation, stage: Stage, made: Sequence[Made]) -> int:
    """Wait until nothing is left to do, then compare."""
    began = time.monotonic()
    with suppress(AssertionError):  # the table tells it better
        eventually(lambda: is_over(made), within=SETTLING + max(each.seconds_left for each in made))
    completions = completions_in(installation.data_dir / "completions")
    verdicts = [*(verdict_of(each, completions) for each in made), verdict_of_children(completions)]
    print(f"\nSettled {time.monotonic() - began:.0f} s after the last of them.")
    print("\n".join(f"{number:>4} × {blow}" for blow, number in sorted(stage.done.items())))
    print(f"{stage.gave_up:>4} × ended by itself\n{stage.hung:>4} × did not end when told to")
    print(f"{sum(stage.done[blow] for blow in KILLS):>4} × kill -9 in all\n\n{table(verdicts)}", flush=True)
    return 0 if all(verdict.is_right for verdict in verdicts) and not stage.hung else 1
