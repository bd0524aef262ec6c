"""Who wants to know, where to reach them, and what they were told."""

from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from contests.models import Contest, Platform
from notifications.channels import CHANNELS

SHORTEST_LEAD = timedelta(minutes=10)
LONGEST_LEAD = timedelta(hours=168)
MOST_LEADS = 10
INACTIVE_AFTER = timedelta(days=180)
"""Members not seen for so long get no reminders until they sign in again."""


def minutes(lead: timedelta) -> int:
    return int(lead.total_seconds()) // 60


def default_lead_minutes() -> list[int]:
    return [24 * 60, 60]


def default_platforms() -> list[str]:
    return list(Platform.objects.order_by("code").values_list("code", flat=True))


@cache
def time_zones() -> frozenset[str]:
    """The names that a member may choose from; read from disk once."""
    return frozenset(available_timezones())


def validate_time_zone(name: str) -> None:
    if name not in time_zones():
        raise ValidationError(f"There is no time zone called “{name}”.")


def validate_lead_minutes(leads: list[int]) -> None:
    if len(leads) != len(set(leads)):
        raise ValidationError("A lead time is there twice.")


class PreferenceQuerySet(models.QuerySet["Preference"]):
    def not_seen_since(self, moment: datetime) -> "PreferenceQuerySet":
        return self.filter(active=True, last_seen_at__lt=moment)


class Preference(models.Model):
    """What one member wants to hear of, and when. Made with the account."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True)
    active = models.BooleanField(
        default=True, help_text="Off for members not seen for 180 days: no reminders until they sign in again."
    )
    paused = models.BooleanField(default=False, help_text="The member's own wish: no reminders for now.")
    platforms = ArrayField(models.CharField(max_length=32), default=default_platforms, blank=True)
    lead_minutes = ArrayField(
        models.PositiveIntegerField(
            validators=[
                MinValueValidator(minutes(SHORTEST_LEAD), "A lead time is at least 10 minutes."),
                MaxValueValidator(minutes(LONGEST_LEAD), "A lead time is at most 168 hours."),
            ]
        ),
        default=default_lead_minutes,
        size=MOST_LEADS,
        validators=[validate_lead_minutes],
        verbose_name="lead times",
        help_text="Minutes before the start, from 10 to 10080 (168 hours).",
    )
    trainings = models.BooleanField(default=False, help_text="Daily trainings too.")
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    last_seen_at = models.DateTimeField(default=timezone.now)

    objects = PreferenceQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(lead_minutes__len__gte=1) & Q(lead_minutes__len__lte=MOST_LEADS),
                name="preference_has_some_lead_times",
            ),
        ]

    def __str__(self) -> str:
        return str(self.user)

    @property
    def zone(self) -> ZoneInfo:
        """UTC where the system does not know the zone, or does not know it any more."""
        return ZoneInfo(self.time_zone if self.time_zone in time_zones() else "UTC")


def channel_kinds() -> list[tuple[str, str]]:
    """Asked each time, so that a new kind is no change of the table."""
    return [(kind, channel.title) for kind, channel in CHANNELS.items()]


class ChannelQuerySet(models.QuerySet["Channel"]):
    def usable(self) -> "ChannelQuerySet":
        return self.exclude(verified_at=None).filter(disabled_at=None)


class Channel(models.Model):
    """A verified address of a member, and how the last delivery to it went."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="channels")
    kind = models.CharField(max_length=16, choices=channel_kinds)
    address = models.CharField(max_length=320)
    verified_at = models.DateTimeField(null=True, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_reason = models.TextField(blank=True)
    last_sent_at = models.DateTimeField(null=True, blank=True)
    last_error_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    objects = ChannelQuerySet.as_manager()

    class Meta:
        ordering = ("kind", "address")
        constraints = [
            models.UniqueConstraint(fields=["user", "kind", "address"], name="channel_once_per_user_and_address"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} to {self.address}"


class NotificationKind(models.TextChoices):
    REMINDER = "reminder", "reminder"


class Status(models.TextChoices):
    """PENDING waits to be sent and SENDING is claimed; the rest are final, but for SKIPPED: its reason may go away."""

    PENDING = "pending", "pending"
    SENDING = "sending", "sending"
    SENT = "sent", "sent"
    FAILED = "failed", "failed"
    EXPIRED = "expired", "expired"
    SKIPPED = "skipped", "skipped"


OPEN_STATUSES = (Status.PENDING, Status.SENDING)


class Notification(models.Model):
    """One thing to tell on one channel, or told, or visibly not told.

    Unique on what it says and where, so that however often it is planned, there is one; a contest that moves makes a
    new one, because `starts_at` is the start it speaks of.
    """

    channel = models.ForeignKey(
        Channel, on_delete=models.CASCADE, related_name="notifications", db_index=False
    )  # the unique constraint begins with it
    contest = models.ForeignKey(Contest, on_delete=models.SET_NULL, null=True, related_name="notifications")
    contest_name = models.CharField(max_length=500, help_text="Kept for when the contest is no longer.")
    kind = models.CharField(max_length=16, choices=NotificationKind)
    lead_minutes = models.PositiveIntegerField("lead time", help_text="Minutes before the start.")
    starts_at = models.DateTimeField(help_text="The start that it speaks of.")
    due_at = models.DateTimeField()
    created_at = models.DateTimeField()

    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    available_at = models.DateTimeField(help_text="Not sent before: the next attempt, or the end of a worker's lease.")
    claim = models.UUIDField(
        null=True, blank=True, help_text="Who is sending it: no other claim may write its outcome."
    )
    message = models.UUIDField(
        null=True, blank=True, help_text="The message that carries it, the same at each attempt."
    )
    sent_at = models.DateTimeField(null=True, blank=True)
    read_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ("-due_at", "-id")
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "contest", "kind", "lead_minutes", "starts_at"], name="notification_once"
            ),
        ]
        indexes = [
            models.Index(fields=["available_at"], condition=Q(status__in=OPEN_STATUSES), name="notification_open"),
            models.Index(
                fields=["channel"], condition=Q(status__in=OPEN_STATUSES), name="notification_open_by_channel"
            ),
            models.Index(fields=["starts_at"], condition=Q(status="skipped"), name="notification_skipped"),
            models.Index(fields=["read_at"], condition=Q(read_at__isnull=False), name="notification_read"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.contest_name}"
