"""The ledger: what shall run, what ran, and who decided it.

`PeriodicTask` of django-celery-beat is the schedule that staff edit; `Schedule` is what this scheduler knows besides.
Triggers of the database (migration 0003) make a `Schedule` for every `PeriodicTask`, and mark it stale when its timing
is edited, by whatever means.
"""

from datetime import datetime
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import connections, models
from django.db.models import OuterRef, Q
from django.db.models.functions import Coalesce, Now
from django_celery_beat.models import PeriodicTask


class Missed(models.TextChoices):
    """What becomes of occurrences that came while nobody could start them."""

    ONCE = "once", "run once for all of them"
    SKIP = "skip", "skip them"
    EACH = "each", "run each of them, up to a number"


class Overlap(models.TextChoices):
    """What becomes of an occurrence that comes while an earlier run of its schedule is unfinished."""

    SKIP = "skip", "skip it"
    QUEUE = "queue", "let one wait"
    ALLOW = "allow", "run them side by side"


class Status(models.TextChoices):
    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    RETRYING = "retrying", "retrying"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"
    SKIPPED = "skipped", "skipped"
    LOST = "lost", "lost"


WAITING = (Status.QUEUED, Status.RETRYING)
UNFINISHED = (*WAITING, Status.RUNNING)


class Trigger(models.TextChoices):
    SCHEDULE = "schedule", "schedule"
    ADMIN = "admin", "admin"
    COMMAND = "command", "command"
    API = "api", "API"
    RETRY = "retry", "retry"
    JOB = "job", "another job"


class Priority(models.IntegerChoices):
    """How urgent a run is; 9 is the most urgent, as with RabbitMQ. Each broker is told in its own terms."""

    CRITICAL = 9, "critical"
    HIGH = 6, "high"
    NORMAL = 3, "normal"
    LOW = 0, "low"

    @classmethod
    def of(cls, number: int | None) -> "Priority":
        """The level for Celery's option `priority`: any number, or none."""
        return cls.NORMAL if number is None else next((level for level in cls if number >= level), cls.LOW)


class Event(models.TextChoices):
    CREATED = "created", "created"
    EDITED = "edited", "edited"
    DELETED = "deleted", "deleted"
    PAUSED = "paused", "paused"
    RESUMED = "resumed", "resumed"
    SET_ASIDE = "set_aside", "set aside"
    RUN_REQUESTED = "run_requested", "run requested"
    ATTEMPT_FAILED = "attempt_failed", "attempt failed"
    WORKER_LOST = "worker_lost", "worker lost"
    HANDED_BACK = "handed_back", "handed back"
    CANCEL_REQUESTED = "cancel_requested", "cancel requested"
    CANCELLED = "cancelled", "cancelled"
    REPUBLISHED = "republished", "published again"


class Schedule(models.Model):
    """What the scheduler keeps for one PeriodicTask. Rows appear by a trigger, hence the defaults in the database."""

    periodic_task = models.OneToOneField(
        PeriodicTask, on_delete=models.CASCADE, primary_key=True, related_name="scheduling"
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="Who looks after it.",
    )
    seconds = models.CharField(
        max_length=240, blank=True, db_default="", help_text="The first of six fields of a cron expression, or nothing."
    )
    next_run_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Its next occurrence; nothing where it never comes."
    )
    stale_since = models.DateTimeField(
        null=True,
        editable=False,
        db_default=Now(),
        help_text="When its timing was edited, until next_run_at follows from it.",
    )
    anchor_at = models.DateTimeField(
        editable=False, db_default=Now(), help_text="When its timing was last edited: intervals count from here."
    )
    missed = models.CharField(
        "missed runs",
        max_length=4,
        choices=Missed,
        default=Missed.ONCE,
        db_default=Missed.ONCE,
        help_text="What to do with occurrences that came while the scheduler was down or paused.",
    )
    missed_cap = models.PositiveIntegerField(
        "at most",
        default=10,
        db_default=10,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text="How many missed occurrences are run where each of them is: the latest ones.",
    )
    max_lateness = models.PositiveIntegerField(
        "latest start",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Seconds after its time from which an occurrence is skipped; nothing means however late.",
    )
    overlap = models.CharField(
        max_length=5,
        choices=Overlap,
        default=Overlap.SKIP,
        db_default=Overlap.SKIP,
        help_text="What to do with an occurrence that comes while an earlier run is unfinished.",
    )
    max_attempts = models.PositiveIntegerField(
        "attempts",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="How often a run is tried before it has failed; nothing means as the job says, usually 3.",
    )
    retry_backoff = models.PositiveIntegerField(
        "first wait",
        null=True,
        blank=True,
        help_text="Seconds to wait at most before the second attempt, doubled with each one; nothing: as the job says.",
    )
    retry_backoff_max = models.PositiveIntegerField(
        "longest wait", null=True, blank=True, help_text="Seconds that a wait never exceeds; nothing: as the job says."
    )
    time_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Seconds after which an attempt is stopped; nothing means as the job says, usually 10 minutes.",
    )
    error = models.TextField(
        blank=True, editable=False, db_default="", help_text="Why it was set aside; nothing where it works."
    )

    class Meta:
        indexes = [
            models.Index(fields=["next_run_at"], name="schedule_due"),
            models.Index(fields=["stale_since"], name="schedule_stale", condition=Q(stale_since__isnull=False)),
            models.Index(fields=["periodic_task"], name="schedule_broken", condition=Q(error__gt="")),
        ]

    def __str__(self) -> str:
        return str(self.periodic_task)

    def event(self, kind: Event, actor: str, at: datetime, **details: Any) -> "RunEvent":
        """What happened to it, not saved yet; `details` are other fields of the event."""
        return RunEvent(schedule=self, subject=self.periodic_task.name, at=at, kind=kind, actor=actor, **details)


class PauseQuerySet(models.QuerySet["Pause"]):
    def active(self, now: datetime) -> "PauseQuerySet":
        return self.filter(Q(until=None) | Q(until__gt=now))

    def of_run(self, task: str, schedule: int | None) -> "PauseQuerySet":
        """Those that keep a run of this task, and of the schedule with this key, from starting."""
        return self.filter(Q(schedule=None) | Q(schedule=schedule), task__in=["", task])

    def of_schedules(self) -> "PauseQuerySet":
        """Those that stop the schedule of the query around this one."""
        return self.filter(
            Q(schedule=None) | Q(schedule=OuterRef("pk")), Q(task="") | Q(task=OuterRef("periodic_task__task"))
        )


def stops_sql(schedule: str, task: str) -> str:
    """`of_run` in SQL: whether the row `pause` stops what these expressions say the schedule and the task of."""
    return f"(pause.schedule_id IS NULL OR pause.schedule_id = {schedule}) AND (pause.task = '' OR pause.task = {task})"


def paused_sql(schedule: str, task: str) -> str:
    """Whether any pause does, at the statement's `now`."""
    return f"""
    EXISTS (
        SELECT FROM scheduler_pause pause
        WHERE (pause.until IS NULL OR pause.until > %(now)s)
            AND {stops_sql(schedule, task)}
    )
    """


class Pause(models.Model):
    """Nothing of one schedule, of one task, or of all (neither is given) starts while this row is there."""

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, null=True, blank=True, related_name="pauses")
    task = models.CharField(max_length=200, blank=True, default="")
    until = models.DateTimeField(null=True, blank=True, help_text="Nothing means until somebody resumes it.")
    reason = models.CharField(max_length=200, blank=True, default="")
    actor = models.CharField(max_length=200)
    created_at = models.DateTimeField()

    objects = PauseQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(Coalesce("schedule", 0), "task", name="pause_once_each")]

    def __str__(self) -> str:
        return str(self.schedule) if self.schedule else self.task or "everything"


# References are checked at the end, so that the order of the two does not matter.
_DELETE = """
WITH events AS (
    DELETE FROM scheduler_runevent
    WHERE run_id = ANY(%(runs)s)
)
DELETE FROM scheduler_run
WHERE id = ANY(%(runs)s)
"""


class RunQuerySet(models.QuerySet["Run"]):
    def waiting(self) -> "RunQuerySet":
        return self.filter(status__in=WAITING)

    def unfinished(self) -> "RunQuerySet":
        return self.filter(status__in=UNFINISHED)

    def delete(self) -> tuple[int, dict[str, int]]:
        """With their events, in one statement: Django would read every column of every run first."""
        gone = list(self.values_list("pk", flat=True))
        with connections[self.db].cursor() as cursor:
            cursor.execute(_DELETE, {"runs": gone})
            deleted = cursor.rowcount
        return deleted, {Run._meta.label: deleted}

    delete.alters_data = True  # type: ignore[attr-defined]  # Django's mark for what no template may call
    delete.queryset_only = True  # type: ignore[attr-defined]


class Run(models.Model):
    """One occurrence of a schedule, or one request: the message to the workers carries its id and attempt."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    schedule = models.ForeignKey(
        Schedule, on_delete=models.SET_NULL, null=True, related_name="runs", db_index=False, editable=False
    )
    name = models.CharField(max_length=200, blank=True, default="", help_text="The schedule's, when it was made.")
    task = models.CharField(max_length=200)
    args = models.TextField(default="[]")
    kwargs = models.TextField(default="{}")
    options = models.TextField(default="{}", help_text="Celery's other options, such as headers and queue, as JSON.")
    priority = models.SmallIntegerField(choices=Priority, default=Priority.NORMAL)
    trigger = models.CharField(max_length=8, choices=Trigger)
    actor = models.CharField(max_length=200, blank=True, default="", help_text="Who asked for it.")
    occurrence = models.DateTimeField(null=True, help_text="The time of its schedule for which it stands.")
    parent = models.UUIDField(null=True, help_text="The run that asked for it, or that it repeats.")
    status = models.CharField(max_length=9, choices=Status, default=Status.QUEUED)
    created_at = models.DateTimeField()
    available_at = models.DateTimeField(help_text="Before this it does not start.")
    published_at = models.DateTimeField(null=True, help_text="When its message was given to the broker.")
    expires_at = models.DateTimeField(null=True, help_text="After this it does not start any more.")
    attempt = models.PositiveIntegerField(default=1, help_text="The one that may start, or runs; older ones may not.")
    failures = models.PositiveIntegerField(default=0)
    crashes = models.PositiveIntegerField(default=0, help_text="Attempts that ended with their worker.")
    max_attempts = models.PositiveIntegerField(null=True)
    retry_backoff = models.PositiveIntegerField(null=True)
    retry_backoff_max = models.PositiveIntegerField(null=True)
    time_limit = models.PositiveIntegerField(null=True)
    exclusive = models.BooleanField(default=False, help_text="Runs of its schedule do not run side by side.")
    foreground = models.BooleanField(default=False, help_text="It runs in a command's process, and ends with it.")
    worker = models.CharField(max_length=200, blank=True, default="")
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True, help_text="After this its worker should have stopped it.")
    finished_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    result = models.TextField(blank=True, default="")
    error = models.TextField(blank=True, default="", help_text="What went wrong, or why it did not run.")
    traceback = models.TextField(blank=True, default="")

    objects = RunQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["schedule", "occurrence"],
                name="run_once_per_occurrence",
                condition=Q(occurrence__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["schedule"], name="run_one_at_a_time", condition=Q(exclusive=True, status=Status.RUNNING)
            ),
        ]
        indexes = [
            models.Index(fields=["published_at", "available_at"], name="run_waiting", condition=Q(status__in=WAITING)),
            # In the order in which messages leave, so that it costs nothing how many runs wait besides.
            models.Index(
                fields=["-priority", "available_at"],
                name="run_unpublished",
                condition=Q(status__in=WAITING, published_at=None),
            ),
            models.Index(fields=["heartbeat_at"], name="run_running", condition=Q(status=Status.RUNNING)),
            models.Index(
                fields=["schedule", "-created_at"], name="run_of_schedule", condition=Q(schedule__isnull=False)
            ),
            models.Index(fields=["-created_at"], name="run_newest"),
            models.Index(fields=["task", "status", "-finished_at"], name="run_of_task"),
            models.Index(
                fields=["schedule", "-created_at"],
                name="run_failed",
                condition=Q(status__in=(Status.FAILED, Status.LOST)),
            ),
            # For people who look for what is rare. A run of a schedule that goes well is in none of these.
            models.Index(
                fields=["-created_at"], name="run_with_failures", condition=Q(failures__gt=0) | Q(crashes__gt=0)
            ),
            models.Index(
                fields=["trigger", "-created_at"], name="run_of_trigger", condition=~Q(trigger=Trigger.SCHEDULE)
            ),
            models.Index(fields=["parent"], name="run_of_parent", condition=Q(parent__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.name or self.task} {self.created_at:%Y-%m-%d %H:%M:%S}"

    def event(self, kind: Event, actor: str, at: datetime, **details: Any) -> "RunEvent":
        """What happened to it, not saved yet; `details` are other fields of the event."""
        what = {"run": self, "schedule_id": self.schedule_id, "subject": self.name or self.task}
        return RunEvent(**what, at=at, kind=kind, actor=actor, **details)

    @property
    def seconds(self) -> float | None:
        """How long the last attempt took."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


class RunEvent(models.Model):
    """Who did what to a run or a schedule, and when. Only ever added to: a trigger refuses changes."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, null=True, related_name="events")
    schedule = models.ForeignKey(
        Schedule, on_delete=models.DO_NOTHING, db_constraint=False, null=True, related_name="events"
    )
    subject = models.CharField(max_length=200, help_text="The name of the schedule or task, which outlives it.")
    at = models.DateTimeField()
    kind = models.CharField(max_length=16, choices=Event)
    actor = models.CharField(max_length=200)
    attempt = models.PositiveIntegerField(null=True)
    seconds = models.FloatField(null=True, help_text="How long the attempt took.")
    message = models.TextField(blank=True, default="")
    traceback = models.TextField(blank=True, default="")
    changes = models.JSONField(default=dict, help_text="Field → what it was and what it became.")

    class Meta:
        indexes = [
            models.Index(fields=["-at"], name="event_newest"),
            models.Index(fields=["kind", "-at"], name="event_of_kind"),
            models.Index(fields=["actor", "-at"], name="event_of_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.subject}: {self.get_kind_display()}"
