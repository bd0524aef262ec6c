"""What is known of contests, and how it came to be known."""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

KEPT_AFTER_END = timedelta(days=30)
"""Contests that ended longer ago are neither stored nor kept."""


class BreakerState(models.TextChoices):
    CLOSED = "closed", "closed"
    OPEN = "open", "open"
    HALF_OPEN = "half-open", "half open"


class Platform(models.Model):
    """A contest platform, and how reading it has gone lately.

    The breaker keeps a platform that is down from being asked in vain, by any process: open after
    BREAKER_OPENS_AFTER failures in a row, tried again after BREAKER_PAUSE, closed after BREAKER_CLOSES_AFTER successes.
    """

    BREAKER_OPENS_AFTER = 5
    BREAKER_PAUSE = timedelta(seconds=60)
    BREAKER_CLOSES_AFTER = 3

    code = models.CharField(max_length=32, primary_key=True)
    name = models.CharField(max_length=100)
    url = models.URLField()
    enabled = models.BooleanField(default=True, help_text="Whether scheduled syncs ask this platform.")
    last_success_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    breaker_state = models.CharField(
        max_length=16, choices=BreakerState, default=BreakerState.CLOSED, editable=False, verbose_name="breaker"
    )
    breaker_opened_at = models.DateTimeField(null=True, blank=True, editable=False)
    failures_in_a_row = models.PositiveIntegerField(default=0, editable=False)
    successes_in_a_row = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def is_failing(self) -> bool:
        """Whether the newest attempt to read it failed."""
        if self.last_error_at is None:
            return False
        return self.last_success_at is None or self.last_error_at > self.last_success_at

    def paused_until(self, now: datetime) -> datetime | None:
        """When the breaker lets the next call through; None where it does so now."""
        if self.breaker_state != BreakerState.OPEN or self.breaker_opened_at is None:
            return None
        until = self.breaker_opened_at + self.BREAKER_PAUSE
        return until if until > now else None

    def record_success(self, now: datetime) -> None:
        """Note a usable answer. Changes the instance; the caller holds the row's lock and saves."""
        self.last_success_at = now
        self.failures_in_a_row = 0
        self.successes_in_a_row += 1
        if self.breaker_state != BreakerState.CLOSED:
            closed = self.successes_in_a_row >= self.BREAKER_CLOSES_AFTER
            self.breaker_state = BreakerState.CLOSED if closed else BreakerState.HALF_OPEN

    def record_failure(self, now: datetime, error: str) -> None:
        """Note a failure, as above."""
        self.last_error_at = now
        self.last_error = error
        self.failures_in_a_row += 1
        self.successes_in_a_row = 0
        if self.breaker_state != BreakerState.CLOSED or self.failures_in_a_row >= self.BREAKER_OPENS_AFTER:
            self.breaker_state = BreakerState.OPEN
            self.breaker_opened_at = now


class ContestQuerySet(models.QuerySet["Contest"]):
    def listed(self) -> "ContestQuerySet":
        return self.filter(cancelled_at=None)

    def upcoming(self, now: datetime) -> "ContestQuerySet":
        return self.listed().filter(starts_at__gt=now)

    def running(self, now: datetime) -> "ContestQuerySet":
        return self.listed().filter(starts_at__lte=now, ends_at__gt=now)

    def finished_before(self, moment: datetime) -> "ContestQuerySet":
        return self.filter(ends_at__lt=moment)


class Contest(models.Model):
    """One contest of one platform. Whether it is upcoming, running or finished is told by the clock."""

    platform = models.ForeignKey(Platform, on_delete=models.PROTECT, related_name="contests")
    key = models.CharField(max_length=200, help_text="The platform's own identifier.")
    name = models.CharField(max_length=500)
    url = models.URLField(max_length=500)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(help_text="The end of the window in which one can take part.")
    duration = models.DurationField(help_text="How long a participant has; shorter than the window for some contests.")
    is_training = models.BooleanField("training", default=False, help_text="Daily practice that only some ask for.")
    cancelled_at = models.DateTimeField(null=True, blank=True)
    missing_since = models.DateTimeField(
        null=True, blank=True, help_text="The first complete answer without it. A second one in a row cancels it."
    )
    last_seen_at = models.DateTimeField(
        help_text="When its platform last listed it, as of the row's last change: unchanged contests are not rewritten."
    )

    objects = ContestQuerySet.as_manager()

    class Meta:
        ordering = ("starts_at", "platform", "key")
        constraints = [
            models.UniqueConstraint(fields=["platform", "key"], name="contest_once_per_platform"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="contest_ends_after_its_start"),
        ]
        indexes = [models.Index(fields=["starts_at"]), models.Index(fields=["ends_at"])]

    def __str__(self) -> str:
        return self.name

    @property
    def phase(self) -> str:
        now = timezone.now()
        if self.cancelled_at:
            return "cancelled"
        if now < self.starts_at:
            return "upcoming"
        return "running" if now < self.ends_at else "finished"

    @property
    def has_window(self) -> bool:
        """Whether one may start at any time within the window."""
        return self.duration < self.ends_at - self.starts_at


class ContestChange(models.Model):
    """One thing that a platform said differently from before."""

    contest = models.ForeignKey(Contest, on_delete=models.CASCADE, related_name="changes")
    field = models.CharField(max_length=32)
    old = models.TextField()
    new = models.TextField()
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ("-changed_at", "-id")

    def __str__(self) -> str:
        return f"{self.field}: {self.old} → {self.new}"


class PlatformSync(models.Model):
    """One platform, asked once: what came of it."""

    platform = models.ForeignKey(Platform, on_delete=models.CASCADE, related_name="syncs")
    started_at = models.DateTimeField()
    duration = models.DurationField()
    fetched = models.PositiveIntegerField(default=0)
    created = models.PositiveIntegerField(default=0)
    updated = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    rejected_rows = models.JSONField(default=list, help_text="Key and reason of the first rows that made no sense.")
    error = models.TextField(blank=True)

    class Meta:
        ordering = ("-started_at", "-id")
        indexes = [models.Index(fields=["started_at"])]
        verbose_name = "sync"

    def __str__(self) -> str:
        return f"{self.platform_id} at {self.started_at:%Y-%m-%d %H:%M}"
