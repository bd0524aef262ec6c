"""Random histories of schedules, told to the scheduler and to a slow and obvious model of it: both say the same.

The model is written from what is promised, and knows nothing of how it is kept. It finds a schedule's occurrences by
walking the clock on the wall, and keeps one moment per schedule: up to then all that came is dealt with.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from scheduler import ledger, tick
from scheduler.cron import validate
from scheduler.models import UNFINISHED, Missed, Overlap, Pause, Run, Schedule, Status, Trigger
from tests.scheduler.brute_force import (
    CHANGES,
    DAY,
    HOUR,
    KOLKATA,
    LISBON,
    LORD_HOWE,
    MINUTE,
    NEW_YORK,
    NO_CHANGES,
    SECOND,
    Job,
    by_the_model,
    clock,
    jobs,
)

TASKS = ["config.tasks.clean_up_data", "config.tasks.report"]
UTC_ZONE = ZoneInfo("UTC")
ZONES = [NEW_YORK, LISBON, LORD_HOWE, KOLKATA, UTC_ZONE]
INSTANT = timedelta(microseconds=1)
RECORDED_EACH = 25
"""Instead of a thousand, so that gaps that are longer come often."""


# --- Times -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """The time in which a history takes place, walked in steps in which everything in it comes."""

    zone: ZoneInfo
    start: datetime
    end: datetime
    step: timedelta
    longest_wait: timedelta


def worlds() -> list[World]:
    """Around each change of clocks: days of minutes, and hours of seconds."""
    wide = [World(zone, at - 2 * DAY, at + 3 * DAY, MINUTE, 30 * HOUR) for zone, at in CHANGES + NO_CHANGES]
    close = [World(zone, at - 65 * MINUTE, at + 65 * MINUTE, SECOND, 20 * MINUTE) for zone, at in CHANGES]
    return wide + close


@dataclass(frozen=True)
class Times:
    """When a schedule comes: one of `job`, `every` and `at` is there."""

    job: Job | None = None
    zone: ZoneInfo = UTC_ZONE
    every: timedelta | None = None
    at: datetime | None = None

    @property
    def kind(self) -> str:
        return "crontab" if self.job else "interval" if self.every else "clocked"


ROWS: dict[str, Any] = {"crontab": CrontabSchedule, "interval": IntervalSchedule, "clocked": ClockedSchedule}


def fields_of(times: Times) -> tuple[dict[str, Any], str]:
    """The columns of the row of its kind, and the field for seconds."""
    if times.job:
        *seconds, minute, hour, day, month, weekday = times.job.text.split()
        fields = {"minute": minute, "hour": hour, "day_of_month": day, "month_of_year": month, "day_of_week": weekday}
        return {**fields, "timezone": times.zone}, "".join(seconds)
    if times.every:
        return {"every": times.every // SECOND, "period": IntervalSchedule.SECONDS}, ""
    return {"clocked_time": times.at}, ""


def rows_of(times: Times) -> tuple[dict[str, Any], str]:
    """New rows for the columns of a PeriodicTask, and the field for seconds."""
    fields, seconds = fields_of(times)
    return {kind: rows.objects.create(**fields) if kind == times.kind else None for kind, rows in ROWS.items()}, seconds


@lru_cache(maxsize=256)
def shown(job: Job, zone: ZoneInfo, world: World) -> list[datetime]:
    return list(by_the_model(job, clock(zone, world.start, world.end, world.step), world.step))


def comes(expression: str) -> bool:
    try:
        validate(expression)
    except ValidationError:
        return False
    return True


LEAP_DAY = Job("0 */6 29 2 *", lambda wall: (wall.day, wall.month, wall.hour % 6, wall.minute) == (29, 2, 0, 0), False)


@st.composite
def times(draw: st.DrawFn, world: World, now: datetime, kind: str = "") -> Times:
    match kind or draw(st.sampled_from(["crontab", "crontab", "interval", "clocked"])):
        case "crontab":
            with_seconds = world.step == SECOND and draw(st.booleans())
            often, any_job = jobs(with_seconds=with_seconds, often=True), jobs(with_seconds=with_seconds)
            job = draw(st.one_of(often, often, any_job, st.just(LEAP_DAY)).filter(lambda job: comes(job.text)))
            return Times(job=job, zone=draw(st.sampled_from([world.zone, *ZONES])))
        case "interval":
            return Times(every=draw(st.integers(1, 90)) * world.step)
        case _:
            return Times(at=draw(soon(world, now) | moments(world)))


def moments(world: World) -> st.SearchStrategy[datetime]:
    """Some of them whole seconds, and some before a history begins or when it is over."""
    seconds = (world.end - world.start) // SECOND
    return st.builds(
        lambda second, fraction: world.start + second * SECOND + fraction,
        st.integers(-3600, seconds + 3600),
        st.sampled_from([timedelta(), timedelta(), timedelta(microseconds=123_456)]),
    )


def soon(world: World, now: datetime) -> st.SearchStrategy[datetime]:
    return st.timedeltas(timedelta(), world.longest_wait / 5).map(lambda wait: now + wait)


# --- The model -------------------------------------------------------------------------------------------------------


@dataclass
class ModelRun:
    status: Status
    why: str = ""


@dataclass
class ModelSchedule:
    world: World
    task: str
    times: Times
    edited_at: datetime
    """When its timing was last edited: from then on an interval counts that has no start."""
    settled: datetime
    """What came up to then is dealt with, or was forgotten by an edit."""
    start: datetime | None = None
    end: datetime | None = None
    one_off: bool = False
    enabled: bool = True
    missed: Missed = Missed.ONCE
    cap: int = 10
    lateness: int | None = None
    overlap: Overlap = Overlap.SKIP
    runs: dict[datetime, ModelRun] = field(default_factory=dict)
    by_hand: dict[UUID, ModelRun] = field(default_factory=dict)
    started: int = 0
    last_started_at: datetime | None = None

    def occurrences(self) -> list[datetime]:
        return [
            moment
            for moment in self._all_times()
            if (self.start is None or moment >= self.start) and (self.end is None or moment <= self.end)
        ]

    def _all_times(self) -> list[datetime]:
        if self.times.at:
            return [self.times.at]
        if self.times.job:
            return shown(self.times.job, self.times.zone, self.world)
        assert self.times.every
        if self.one_off:
            return [(self.start or self.edited_at) + self.times.every]
        moment = self.start or self.edited_at + self.times.every
        found = []
        while moment <= self.world.end:
            found.append(moment)
            moment += self.times.every
        return found

    def to_come(self) -> list[datetime]:
        """What is not dealt with yet; a beat whose clock is ahead may have been quicker than an edit."""
        return [moment for moment in self.occurrences() if moment > self.settled and moment not in self.runs]

    def next_run_at(self) -> datetime | None:
        return next(iter(self.to_come()), None) if self.enabled else None

    def edited(self, now: datetime, *, timing: bool = True) -> None:
        self.settled = now
        if timing:
            self.edited_at = now

    def look(self, now: datetime) -> None:
        came = [moment for moment in self.to_come() if moment <= now]
        if not self.enabled or not came:
            return
        self.settled = now
        reasons = {moment: self._why_not(moment, came, now) for moment in came}
        if len(came) > RECORDED_EACH:
            recorded = came[-RECORDED_EACH:]
            reasons = {moment: reasons[moment] for moment in recorded}
            reasons[came[0]] = f"It was missed, and with it all others before {recorded[0]:%Y-%m-%d %H:%M:%S} UTC."
        for moment, reason in reasons.items():
            self.runs[moment] = ModelRun(Status.SKIPPED if reason else Status.QUEUED, reason)
        if started := sum(not reason for reason in reasons.values()):
            self.started += started
            self.last_started_at = now
            self.enabled = not self.one_off

    def _why_not(self, moment: datetime, came: list[datetime], now: datetime) -> str:
        latest = came[-1]
        is_missed = moment != latest or now - moment > MINUTE
        if self.lateness and now - moment > self.lateness * SECOND:
            return f"It could start {self.lateness * SECOND} after its time at the latest."
        if is_missed and self.end and now > self.end:
            return f"It was missed, and its schedule ended on {self.end:%Y-%m-%d %H:%M:%S} UTC."
        if self.overlap == Overlap.SKIP and self.unfinished():
            return "An earlier run was not finished yet."
        if self.overlap == Overlap.QUEUE and Status.QUEUED in {run.status for run in self.unfinished()}:
            return "An earlier run was still waiting."
        if is_missed and self.missed == Missed.SKIP:
            return "It was missed, and missed runs are skipped."
        if moment != latest and (self.missed == Missed.ONCE or self.one_off):
            return f"It was missed; the run of {latest:%Y-%m-%d %H:%M:%S} UTC stands for it."
        missed = came[:-1] if now - latest <= MINUTE else came
        if is_missed and self.missed == Missed.EACH and moment not in missed[-self.cap :] and not self.one_off:
            return f"It was missed, and of missed runs the latest {self.cap} are run."
        return ""

    def unfinished(self) -> list[ModelRun]:
        return [run for run in (*self.runs.values(), *self.by_hand.values()) if run.status in UNFINISHED]


# --- Histories -------------------------------------------------------------------------------------------------------


class History(RuleBasedStateMachine):
    """What staff, workers, beats and time do to a few schedules."""

    def __init__(self) -> None:
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.models: dict[int, ModelSchedule] = {}
        self.pauses: dict[tuple[int | None, str], datetime | None] = {}

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.transaction.__exit__(None, None, None)

    @initialize(data=st.data(), world=st.sampled_from(worlds()))
    def begin(self, data: st.DataObject, world: World) -> None:
        self.world = world
        before_the_change = data.draw(st.sampled_from([0, 3, 30]))
        self.now = world.start + (world.end - world.start) * before_the_change / 100 + timedelta(microseconds=400_000)
        self.ahead = data.draw(st.lists(st.integers(-1000, 1000), min_size=2, max_size=2), label="beats' clocks, ms")
        for _ in range(data.draw(st.integers(1, 3), label="schedules")):
            self.add(data)

    def add(self, data: st.DataObject) -> None:
        model = ModelSchedule(
            world=self.world,
            task=data.draw(st.sampled_from(TASKS)),
            times=data.draw(times(self.world, self.now)),
            edited_at=self.now,
            settled=self.now,
            one_off=data.draw(st.sampled_from([False, False, True]), label="one-off"),
        )
        model.start = data.draw(st.sampled_from([None, None, data.draw(self.bounds(model.to_come()))]), label="start")
        model.end = data.draw(st.sampled_from([None, None, data.draw(self.bounds(model.to_come()))]), label="end")
        rows, seconds = rows_of(model.times)
        (row,) = PeriodicTask.objects.bulk_create(
            [
                PeriodicTask(
                    name=f"schedule {len(self.models)}",
                    task=model.task,
                    start_time=model.start,
                    expires=model.end,
                    one_off=model.one_off,
                    **rows,
                )
            ]
        )
        Schedule.objects.filter(pk=row.pk).update(seconds=seconds)
        Schedule.objects.filter(pk=row.pk).update(stale_since=self.now, anchor_at=self.now)
        self.models[row.pk] = model
        self.decide(data, row.pk)

    def bounds(self, to_come: list[datetime]) -> st.SearchStrategy[datetime]:
        """Moments at which a schedule's life may begin or end: at one of its occurrences, or soon, or whenever."""
        near = st.sampled_from(to_come[:6]) | soon(self.world, self.now) if to_come else soon(self.world, self.now)
        return near | moments(self.world)

    def one_of(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.models)), label="schedule")

    # --- What time does

    @rule(data=st.data())
    def wait(self, data: st.DataObject) -> None:
        self.go_on(data)

    def go_on(self, data: st.DataObject) -> None:
        """After whatever happens there passes some time or none, and the beats look or don't."""
        beats = data.draw(st.sampled_from(["a", "ab", "ba", "aba", "b", ""]), label="beats")
        to_come = [moment for model in self.models.values() if model.enabled for moment in model.to_come()[:3]]
        if to_come and data.draw(st.integers(0, 3)) < 3:
            # Until one comes by the clock of the first beat, or shortly before or after it, or until it is late.
            late = data.draw(st.sampled_from([0, 0, 60, 0, 1, 30, 1000])) * SECOND
            just = data.draw(st.sampled_from([timedelta(), timedelta(), INSTANT, -INSTANT, SECOND / 4]))
            wait = data.draw(st.sampled_from(to_come)) + late + just - self.skew(beats[:1]) - self.now
        else:
            longest = data.draw(st.sampled_from([SECOND, timedelta(), 2 * MINUTE, 2 * HOUR, 2 * DAY]))
            wait = data.draw(st.timedeltas(timedelta(), min(longest, self.world.longest_wait)))
        if timedelta() <= wait <= self.world.longest_wait:
            self.pass_time(wait, beats)

    def skew(self, beat: str) -> timedelta:
        return timedelta(milliseconds=self.ahead["ab".index(beat)]) if beat else timedelta()

    def pass_time(self, wait: timedelta, beats: str) -> None:
        """Not beyond the end of the world, after which the model knows nothing."""
        if self.now + wait + 2 * SECOND > self.world.end:
            return
        self.now += wait
        for beat in beats:
            self.look(self.now + self.skew(beat))
        if beats:
            self.compare()

    def look(self, now: datetime) -> None:
        """As a beat does, whose clock says this."""
        ledger.end_expired_pauses(now, "beat")
        tick.follow_edits(now, "beat")
        tick.fire(now, "beat")
        self.pauses = {scope: until for scope, until in self.pauses.items() if until is None or until > now}
        for key, model in self.models.items():
            if not self.pauses.keys() & {(None, ""), (None, model.task), (key, "")}:
                model.look(now)

    def compare(self) -> None:
        schedules = {schedule.pk: schedule for schedule in Schedule.objects.select_related("periodic_task")}
        recorded: dict[int | None, dict[datetime, ModelRun]] = {key: {} for key in self.models}
        for run in Run.objects.filter(trigger=Trigger.SCHEDULE).order_by("occurrence"):
            assert run.occurrence
            recorded[run.schedule_id][run.occurrence] = ModelRun(Status(run.status), run.error)
        for key, model in self.models.items():
            schedule, task = schedules[key], schedules[key].periodic_task
            assert schedule.error == ""
            assert recorded[key] == model.runs
            assert (task.enabled, task.total_run_count) == (model.enabled, model.started)
            assert task.last_run_at == model.last_started_at
            expected, found = model.next_run_at(), schedule.next_run_at
            if expected is None or expected > self.world.end:
                assert found is None or found > self.world.end
            else:
                assert found == expected

    # --- What staff do

    @contextmanager
    def edit(self, key: int) -> Iterator[None]:
        """What the database marks as edited by its own clock is edited by the clock of the history."""
        rows = Schedule.objects.filter(pk=key)
        before = rows.values_list("stale_since", "anchor_at").get()
        yield
        after = rows.values_list("stale_since", "anchor_at").get()
        edited = [
            name for name, was, now in zip(("stale_since", "anchor_at"), before, after, strict=True) if was != now
        ]
        rows.update(**dict.fromkeys(edited, self.now))

    @rule(data=st.data())
    def give_it_other_times(self, data: st.DataObject) -> None:
        key = self.one_of(data)
        model = self.models[key]
        model.times = data.draw(times(self.world, self.now))
        with self.edit(key):
            rows, seconds = rows_of(model.times)
            PeriodicTask.objects.filter(pk=key).update(**rows)
            Schedule.objects.filter(pk=key).update(seconds=seconds)
        model.edited(self.now)
        self.go_on(data)

    @rule(data=st.data())
    def rewrite_the_row_of_its_times(self, data: st.DataObject) -> None:
        key = self.one_of(data)
        model, task = self.models[key], PeriodicTask.objects.get(pk=key)
        other = data.draw(times(self.world, self.now, model.times.kind))
        written, (fields, seconds) = fields_of(model.times), fields_of(other)
        with self.edit(key):
            ROWS[other.kind].objects.filter(pk=getattr(task, f"{other.kind}_id")).update(**fields)
            Schedule.objects.filter(pk=key).update(seconds=seconds)
        model.times = other
        if written != (fields, seconds):
            model.edited(self.now)
        self.go_on(data)

    @rule(data=st.data(), name=st.sampled_from(["start", "end", "one_off", "enabled"]))
    def change_its_life(self, data: st.DataObject, name: str) -> None:
        key = self.one_of(data)
        model = self.models[key]
        value = data.draw(st.none() | self.bounds(model.to_come()) if name in ("start", "end") else st.booleans())
        column = {"start": "start_time", "end": "expires"}.get(name, name)
        with self.edit(key):
            PeriodicTask.objects.filter(pk=key).update(**{column: value})
        if value != getattr(model, name):
            setattr(model, name, value)
            model.edited(self.now, timing=name != "end")
        self.go_on(data)

    @rule(data=st.data())
    def turn_it_off_and_on(self, data: st.DataObject) -> None:
        key = self.one_of(data)
        with self.edit(key):
            for enabled in (False, True):
                PeriodicTask.objects.filter(pk=key).update(enabled=enabled)
        self.models[key].enabled = True
        self.models[key].edited(self.now)
        self.go_on(data)

    @rule(data=st.data())
    def decide_on_its_policies(self, data: st.DataObject) -> None:
        self.decide(data, self.one_of(data))
        self.go_on(data)

    def decide(self, data: st.DataObject, key: int) -> None:
        model = self.models[key]
        model.missed = data.draw(st.sampled_from([Missed.EACH, *Missed]))
        model.overlap = data.draw(st.sampled_from([*Overlap, Overlap.QUEUE, Overlap.ALLOW]))
        model.cap = data.draw(st.integers(1, 5), label="cap")
        model.lateness = data.draw(st.sampled_from([None, None, None, None, 30, 60, 1, 1000, 40_000]), label="lateness")
        with self.edit(key):
            Schedule.objects.filter(pk=key).update(
                missed=model.missed, overlap=model.overlap, missed_cap=model.cap, max_lateness=model.lateness
            )

    @rule(data=st.data())
    def describe_it(self, data: st.DataObject) -> None:
        """It does not start over, nor lose what has not come yet."""
        key = self.one_of(data)
        with self.edit(key):
            PeriodicTask.objects.filter(pk=key).update(description=data.draw(st.sampled_from("abc")), priority=9)
            task = PeriodicTask.objects.select_related(*ROWS).get(pk=key)
            getattr(task, self.models[key].times.kind).save()
        self.go_on(data)

    @rule(data=st.data(), scope=st.sampled_from(["all", "task", "schedule"]))
    def pause(self, data: st.DataObject, scope: str) -> None:
        key = self.one_of(data)
        paused = {"all": (None, ""), "task": (None, self.models[key].task), "schedule": (key, "")}[scope]
        until = (
            self.now + data.draw(st.timedeltas(-SECOND, self.world.longest_wait)) if data.draw(st.booleans()) else None
        )
        schedule = None if paused[0] is None else Schedule.objects.get(pk=paused[0])
        ledger.pause("alice", schedule=schedule, task=paused[1], until=until)
        self.pauses[paused] = until
        self.go_on(data)

    @precondition(lambda self: self.pauses)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        key, task = data.draw(st.sampled_from(list(self.pauses)))
        ledger.resume(list(Pause.objects.filter(schedule=key, task=task)), "alice")
        del self.pauses[key, task]
        self.go_on(data)

    # --- What becomes of runs

    @rule(data=st.data())
    def run_it_now(self, data: st.DataObject) -> None:
        key = self.one_of(data)
        run = ledger.run_now(Schedule.objects.get(pk=key), Trigger.ADMIN, "alice")
        self.models[key].by_hand[run.pk] = ModelRun(Status.QUEUED)
        self.go_on(data)

    @precondition(lambda self: any(model.unfinished() for model in self.models.values()))
    @rule(data=st.data(), most=st.sampled_from([1, 1000]))
    def runs_go_on(self, data: st.DataObject, most: int) -> None:
        """Those of a schedule that are unfinished start, fail and wait, or end."""
        key = data.draw(st.sampled_from([key for key, model in self.models.items() if model.unfinished()]))
        model = self.models[key]
        unfinished = [
            (found, run) for found, run in [*model.runs.items(), *model.by_hand.items()] if run.status in UNFINISHED
        ]
        for found, run in unfinished[:most]:
            run.status = data.draw(st.sampled_from(self.what_may_become(run, model)))
            name = "occurrence" if isinstance(found, datetime) else "pk"
            Run.objects.filter(schedule=key, **{name: found}).update(status=run.status)
        self.go_on(data)

    def what_may_become(self, run: ModelRun, model: ModelSchedule) -> list[Status]:
        """Only one of a schedule runs at a time."""
        if run.status == Status.RUNNING:
            return [Status.RETRYING, Status.SUCCEEDED, Status.FAILED, Status.LOST, Status.RETRYING]
        if Status.RUNNING in {run.status for run in model.unfinished()}:
            return [run.status, Status.CANCELLED]
        return [Status.RUNNING, Status.RUNNING, Status.CANCELLED]


@pytest.mark.django_db
def test_the_scheduler_does_what_the_model_says_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tick, "RECORDED_EACH", RECORDED_EACH)
    PeriodicTask.objects.all().delete()
    run_state_machine_as_test(History, settings=settings(max_examples=60, stateful_step_count=25, deadline=None))
