"""Each reminder once, though everything dies: the short form of `make chaos ARGS=delivery`."""

import subprocess
import sys

from tests.chaos.delivery import Blow, planned
from tests.installation import ROOT


def test_every_reminder_leaves_whatever_is_killed_and_a_second_time_only_if_it_was_in_flight() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "delivery", "--short", "--seed", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_the_same_seed_makes_the_same_plan_and_all_of_it_happens_while_there_is_something_to_send() -> None:
    plan = planned(1, 25, 10_000)
    assert plan == planned(1, 25, 10_000)
    assert plan != planned(2, 25, 10_000)
    assert sum(step.blow == Blow.KILL for step in plan) == 25
    assert {step.blow for step in plan} == set(Blow)
    assert all(0 <= step.after < 10_000 for step in plan)
