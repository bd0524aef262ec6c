"""Each occurrence once, though everything dies: the short form of `make chaos`."""

import subprocess
import sys

from tests.chaos.plan import KILLS, QUIET_AT_FIRST, Blow, planned
from tests.installation import ROOT


def test_every_occurrence_is_recorded_and_finished_once_whatever_is_killed() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "schedules", "--short", "--seed", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_same_seed_makes_the_same_plan_and_another_one_another() -> None:
    servers = [Blow.KILL_DATABASE]
    plan = planned(1, 100, 600.0, servers)
    assert plan == planned(1, 100, 600.0, servers)
    assert plan != planned(2, 100, 600.0, servers)
    assert sum(step.blow in KILLS for step in plan) == 100
    assert all(QUIET_AT_FIRST <= step.at <= 600 for step in plan)
