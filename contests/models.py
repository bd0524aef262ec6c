"""What is known of contests, and how it came to be known."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from config.breaker import Breaker
from config.calendars import Entry
from contests.lengths import duration

KEPT_AFTER_END = timedelta(days=30)
"""Contests that ended longer ago are neither stored nor kept."""


class Platform(Breaker):
    """A contest platform, and how reading it has gone lately."""

    code = models.CharField(max_length=32, primary_key=True)
    name = models.CharField(max_length=100)
    url = models.URLField()
    enabled = models.BooleanField(default=True, help_text="Whether scheduled syncs ask this platform.")

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


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
    is_rated = models.BooleanField(
        "rated", null=True, blank=True, help_text="Whether it counts for anybody's rating; unknown where nothing tells."
    )
    cancelled_at = models.DateTimeField(null=True, blank=True)
    missing_since = models.DateTimeField(
        null=True, blank=True, help_text="The first complete answer without it. A second one in a row cancels it."
    )
    last_seen_at = models.DateTimeField(
        help_text="When its platform last listed it, as of the row's last change: unchanged contests are not rewritten."
    )
    first_seen_at = models.DateTimeField(default=timezone.now, help_text="When its platform first listed it.")
    changed_at = models.DateTimeField(
        default=timezone.now, help_text="When what a calendar shows of it last changed: name, times, whether cancelled."
    )
    sequence = models.PositiveIntegerField(
        default=0, help_text="How often that has changed: the SEQUENCE of iCalendar (RFC 5545, section 3.8.7.4)."
    )

    objects = ContestQuerySet.as_manager()

    class Meta:
        ordering = ("starts_at", "platform", "key")
        constraints = [
            models.UniqueConstraint(fields=["platform", "key"], name="contest_once_per_platform"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="contest_ends_after_its_start"),
        ]
        indexes = [
            models.Index(fields=["starts_at"]),
            models.Index(fields=["ends_at"]),
            models.Index(fields=["changed_at"]),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("contest", args=[self.platform_id, self.key])

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

    @property
    def calendar_entry(self) -> Entry:
        """What every calendar is told of it, by whatever way. Reads the platform's name, so select that too."""
        within = " within this time" if self.has_window else ""
        about = (
            f"{self.platform.name}, {duration(self.duration)}{within}",
            self.url,
            f"All about it: {settings.SITE_URL}{self.get_absolute_url()}",
        )
        return Entry(
            uid=f"{self.platform_id}-{self.key}@codenotify",
            sequence=self.sequence,
            changed_at=self.changed_at,
            name=self.name,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            url=self.url,
            category=self.platform.name,
            description="\n".join(about),
            is_cancelled=self.cancelled_at is not None,
        )


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
