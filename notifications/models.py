"""Who wants to know, where to reach them, and what they were told."""

import secrets
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex, OpClass
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Upper
from django.utils import timezone

from config.breaker import Breaker, BreakerState
from contests.models import Contest, Platform
from notifications.channels import CHANNELS
from notifications.zones import time_zones, zone_called

SHORTEST_LEAD = timedelta(minutes=10)
LONGEST_LEAD = timedelta(hours=168)
MOST_LEADS = 10
MOST_WORDS = 50
LONGEST_CONTEST = timedelta(hours=24)
"""What lasts longer is only for those who ask for it."""
INACTIVE_AFTER = timedelta(days=180)
"""Members not seen for so long get no reminders until they sign in again."""


def minutes(lead: timedelta) -> int:
    return int(lead.total_seconds()) // 60


def default_lead_minutes() -> list[int]:
    return [24 * 60, 60]


def default_platforms() -> list[str]:
    return list(Platform.objects.order_by("code").values_list("code", flat=True))


def validate_time_zone(name: str) -> None:
    if name not in time_zones():
        raise ValidationError(f"There is no time zone called “{name}”.")


def validate_lead_minutes(leads: list[int]) -> None:
    if len(leads) != len(set(leads)):
        raise ValidationError("A lead time is there twice.")


class Digest(models.TextChoices):
    OFF = "off", "never"
    DAILY = "daily", "every day"
    WEEKLY = "weekly", "once a week"


class Weekday(models.IntegerChoices):
    """As ISO 8601 counts, and PostgreSQL's `isodow`."""

    MONDAY = 1, "Monday"
    TUESDAY = 2, "Tuesday"
    WEDNESDAY = 3, "Wednesday"
    THURSDAY = 4, "Thursday"
    FRIDAY = 5, "Friday"
    SATURDAY = 6, "Saturday"
    SUNDAY = 7, "Sunday"


class Quiet(models.TextChoices):
    """When a reminder comes that falls into quiet hours."""

    BEFORE = "before", "just before they begin"
    AFTER = "after", "when they are over, if that is before the start"


class PreferenceQuerySet(models.QuerySet["Preference"]):
    def not_seen_since(self, moment: datetime) -> "PreferenceQuerySet":
        return self.filter(active=True, last_seen_at__lt=moment)


class IsZone(Func):
    """Fails, rather than being false, where PostgreSQL knows no time zone of that name."""

    template = "(timezone(%(expressions)s::timestamptz) IS NOT NULL)"
    output_field = models.BooleanField()


class Preference(models.Model):
    """What one member wants to hear of, and when. Made with the account."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True)
    active = models.BooleanField(
        default=True, help_text="Off for members not seen for 180 days: no reminders until they sign in again."
    )
    paused = models.BooleanField(default=False, help_text="The member's own wish: nothing is sent for now.")
    paused_until = models.DateTimeField(
        null=True, blank=True, help_text="When the pause ends by itself; nothing: when the member ends it."
    )
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
    unrated = models.BooleanField(default=True, help_text="Contests without a rating too.")
    longest_contest = models.DurationField(
        null=True, blank=True, default=LONGEST_CONTEST, help_text="What lasts longer is left out; nothing: any length."
    )
    excluded_words = ArrayField(
        models.CharField(max_length=50),
        default=list,
        blank=True,
        size=MOST_WORDS,
        help_text="Contests with one of these in their name are left out; in lower case.",
    )
    quiet_from = models.TimeField(null=True, blank=True, help_text="Nothing is sent from then, in the member's zone …")
    quiet_until = models.TimeField(null=True, blank=True, help_text="… until then.")
    quiet_choice = models.CharField(max_length=8, choices=Quiet, default=Quiet.BEFORE)
    digest = models.CharField(max_length=8, choices=Digest, default=Digest.OFF)
    digest_hour = models.PositiveSmallIntegerField(
        default=8, validators=[MaxValueValidator(23)], help_text="In the member's zone."
    )
    digest_weekday = models.PositiveSmallIntegerField(choices=Weekday, default=Weekday.MONDAY)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    last_seen_at = models.DateTimeField(default=timezone.now)

    objects = PreferenceQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(lead_minutes__len__gte=1) & Q(lead_minutes__len__lte=MOST_LEADS),
                name="preference_has_some_lead_times",
            ),
            models.CheckConstraint(
                condition=Q(quiet_from=None, quiet_until=None)
                | Q(quiet_from__isnull=False, quiet_until__isnull=False) & ~Q(quiet_from=F("quiet_until")),
                name="preference_quiet_hours_have_two_ends",
            ),
            # Whatever is reckoned in this zone would fail for everybody if the database did not know it.
            models.CheckConstraint(
                condition=Q(IsZone(F("time_zone"), Value("2000-01-01T00:00:00Z"))), name="preference_in_a_known_zone"
            ),
        ]
        indexes = [
            models.Index(fields=["user"], condition=Q(quiet_from__isnull=False), name="preference_quiet"),
            models.Index(fields=["user"], condition=~Q(digest=Digest.OFF), name="preference_digest"),
            models.Index(fields=["paused_until"], condition=Q(paused=True), name="preference_paused"),
        ]

    def __str__(self) -> str:
        return str(self.user)

    @property
    def zone(self) -> ZoneInfo:
        return zone_called(self.time_zone)

    @property
    def is_paused(self) -> bool:
        """A pause that is over ends in the table with the next plan."""
        return self.paused and not (self.paused_until and self.paused_until <= timezone.now())


class ContestChoice(models.Model):
    """What a member says of one contest, whatever they want else."""

    class Wish(models.TextChoices):
        FOLLOW = "follow", "follow"
        MUTE = "mute", "mute"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="contest_choices")
    contest = models.ForeignKey(Contest, on_delete=models.CASCADE, related_name="choices")
    wish = models.CharField(max_length=8, choices=Wish)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "contest"], name="choice_once_per_contest")]

    def __str__(self) -> str:
        return f"{self.user} wants to {self.wish} {self.contest}"


class Purpose(models.TextChoices):
    """What a member may want a channel for."""

    REMINDERS = "reminders", "reminders"
    CHANGES = "changes", "changes"
    DIGEST = "digest", "digest"


def all_purposes() -> list[str]:
    return list(Purpose.values)


REMOVED = "It was removed."


def channel_kinds() -> list[tuple[str, str]]:
    """Asked each time, so that a new kind is no change of the table."""
    return [(kind, channel.title) for kind, channel in CHANNELS.items()]


class ChannelQuerySet(models.QuerySet["Channel"]):
    def usable(self) -> "ChannelQuerySet":
        return self.exclude(verified_at=None).filter(disabled_at=None)

    def failing(self) -> "ChannelQuerySet":
        """Those where the last message did not go through."""
        return self.exclude(last_error="").filter(Q(last_sent_at=None) | Q(last_sent_at__lt=F("last_error_at")))

    def kept(self) -> "ChannelQuerySet":
        """Those that their owner did not remove."""
        return self.filter(removed_at=None)

    def verify(self, user: User, kind: str, address: str, **details: Any) -> "Channel":
        """The channel that its owner has just shown to be theirs: a new one, or the one that they had, on again."""
        shown = {"verified_at": timezone.now(), "disabled_at": None, "disabled_reason": "", "removed_at": None}
        channel, _ = self.update_or_create(user=user, kind=kind, address=address, defaults={**shown, **details})
        return channel

    def remove(self) -> None:
        """Send nothing there any more, and show it no more. What was told there stays, for its owner to look back on.

        It has to be verified anew, should its owner want it back.
        """
        now = timezone.now()
        off = {"disabled_at": now, "disabled_reason": REMOVED, "removed_at": now}
        self.kept().update(verified_at=None, keys={}, **off)


class Channel(models.Model):
    """A verified address of a member, and how the last delivery to it went."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="channels")
    kind = models.CharField(max_length=16, choices=channel_kinds)
    address = models.CharField(max_length=1000)
    keys = models.JSONField(default=dict, blank=True, help_text="What the address needs besides, for push.")
    label = models.CharField(max_length=100, blank=True, help_text="What its owner knows it by.")
    purposes = ArrayField(models.CharField(max_length=16, choices=Purpose), default=all_purposes, blank=True)
    verified_at = models.DateTimeField(null=True, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_reason = models.TextField(blank=True)
    removed_at = models.DateTimeField(
        null=True, blank=True, help_text="When its owner removed it; kept for what was told there."
    )
    last_sent_at = models.DateTimeField(null=True, blank=True)
    last_error_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    objects = ChannelQuerySet.as_manager()

    class Meta:
        ordering = ("kind", "address")
        constraints = [
            models.UniqueConstraint(fields=["user", "kind", "address"], name="channel_once_per_user_and_address"),
            models.CheckConstraint(
                condition=Q(removed_at=None) | Q(disabled_at__isnull=False), name="channel_removed_is_off"
            ),
        ]
        indexes = [
            models.Index(fields=["removed_at"], condition=Q(removed_at__isnull=False), name="channel_removed"),
            models.Index(fields=["kind"], name="channel_kind"),
            models.Index(OpClass(Upper("address"), name="text_pattern_ops"), name="channel_address"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} to {self.name}"

    @property
    def name(self) -> str:
        return self.label or self.address

    @property
    def is_offered(self) -> bool:
        """Whether the operator has set up what its kind takes."""
        return self.kind in CHANNELS and CHANNELS[self.kind].is_configured()

    @property
    def is_gone(self) -> bool:
        """Whether it can only be made anew where it came from, as in a browser that withdrew its subscription."""
        return self.kind in CHANNELS and CHANNELS[self.kind].needs_keys and not self.keys

    @property
    def is_usable(self) -> bool:
        return not self.why_not

    @property
    def why_not(self) -> str:
        """Why nothing can be sent there, in a sentence for its owner; '' where it can."""
        if self.disabled_at:
            return f"It is off: {self.disabled_reason or 'no reason is known.'}"
        if not self.verified_at:
            return "It is not verified yet."
        return "" if self.is_offered else f"{self.get_kind_display()} is not set up on this site."


class NotificationKind(models.TextChoices):
    """What is told. CHANNEL_OFF says on another channel that one works no more; TEST is asked for by a button."""

    REMINDER = "reminder", "reminder"
    MOVED = "moved", "moved"
    CANCELLED = "cancelled", "cancelled"
    REINSTATED = "reinstated", "takes place after all"
    DIGEST = "digest", "digest"
    CHANNEL_OFF = "channel-off", "channel off"
    TEST = "test", "test"


class Status(models.TextChoices):
    """PENDING waits to be sent and SENDING is claimed; the rest are final, but for SKIPPED: its reason may go away."""

    PENDING = "pending", "pending"
    SENDING = "sending", "sending"
    SENT = "sent", "sent"
    FAILED = "failed", "failed"
    EXPIRED = "expired", "expired"
    SKIPPED = "skipped", "skipped"


OPEN_STATUSES = (Status.PENDING, Status.SENDING)
UNRESOLVED = (*OPEN_STATUSES, Status.SKIPPED)
"""What may still become something else before it expires."""
UNTOLD = (Status.FAILED, Status.EXPIRED, Status.SKIPPED)
"""What its member was not told."""


class Notification(models.Model):
    """One thing to tell on one channel, or told, or visibly not told.

    Unique on what it says and where, so that however often it is planned, there is one; a contest that moves makes a
    new one, because `starts_at` is the start it speaks of.
    """

    channel = models.ForeignKey(
        Channel, on_delete=models.CASCADE, related_name="notifications", db_index=False
    )  # the unique constraint begins with it
    contest = models.ForeignKey(Contest, on_delete=models.SET_NULL, null=True, related_name="notifications")
    contest_name = models.CharField(max_length=500, blank=True, help_text="Kept for when the contest is no longer.")
    kind = models.CharField(max_length=16, choices=NotificationKind)
    lead_minutes = models.PositiveIntegerField("lead time", default=0, help_text="Minutes before the start.")
    starts_at = models.DateTimeField(help_text="The start that it speaks of; of a digest, the moment it is for.")
    was_at = models.DateTimeField(null=True, blank=True, help_text="The start before the contest moved.")
    detail = models.TextField(blank=True, help_text="What it says, where that is not about a contest.")
    due_at = models.DateTimeField()
    expires_at = models.DateTimeField(help_text="After this it is worth nothing.")
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
    delivered_at = models.DateTimeField(null=True, blank=True, help_text="Where the provider tells.")
    read_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ("-due_at", "-id")
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "contest", "kind", "lead_minutes", "starts_at"], name="notification_once"
            ),
            models.UniqueConstraint(
                fields=["channel", "starts_at"], condition=Q(kind=NotificationKind.DIGEST), name="digest_once"
            ),
        ]
        indexes = [
            models.Index(fields=["available_at"], condition=Q(status__in=OPEN_STATUSES), name="notification_open"),
            models.Index(
                fields=["channel"], condition=Q(status__in=OPEN_STATUSES), name="notification_open_by_channel"
            ),
            models.Index(fields=["expires_at"], condition=Q(status__in=OPEN_STATUSES), name="notification_expiring"),
            models.Index(
                fields=["contest", "expires_at"], condition=Q(status__in=UNRESOLVED), name="notification_unresolved"
            ),
            models.Index(fields=["message"], condition=Q(message__isnull=False), name="notification_message"),
            models.Index(fields=["read_at"], condition=Q(read_at__isnull=False), name="notification_read"),
            # The few of what staff look for among the many, the newest first.
            models.Index(fields=["status", "-id"], condition=Q(status__in=UNTOLD), name="notification_untold"),
            models.Index(
                fields=["kind", "-id"], condition=~Q(kind=NotificationKind.REMINDER), name="notification_no_reminder"
            ),
            # They come nearly in the order of time, so that a note for each stretch of the table will do.
            BrinIndex(fields=["created_at"], autosummarize=True, name="notification_created"),
            BrinIndex(fields=["due_at"], autosummarize=True, name="notification_due"),
            models.Index(
                fields=["channel"], condition=Q(status=Status.SENT, read_at__isnull=True), name="notification_unread"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.contest_name}"


def new_token() -> str:
    """256 bits that nobody guesses, in characters that need no quoting in an address."""
    return secrets.token_urlsafe(32)


class CalendarFeed(models.Model):
    """The secret address at which a member's calendar programs read what they want to hear of.

    The token is kept as it is, not hashed: its owner is shown it again for the next device, and who reads this table
    reads in the ones beside it all that it opens. It opens nothing else, and a new one ends it.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="calendar_feed"
    )
    token = models.CharField(max_length=43, default=new_token)
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["token"], name="calendar_feed_token")]

    def __str__(self) -> str:
        return f"calendar of {self.user}"


class Provider(Breaker):
    """What a kind of channel sends through, shared by all processes: how it does, and how much it takes."""

    BREAKER_OPENS_AFTER = 1
    BREAKER_PAUSE = timedelta(minutes=1)
    BREAKER_CLOSES_AFTER = 1

    kind = models.CharField(max_length=16, primary_key=True, choices=channel_kinds)
    per_second = models.FloatField(
        "messages per second",
        null=True,
        blank=True,
        validators=[MinValueValidator(0.001)],
        help_text="What goes beyond it waits; nothing: as fast as it goes.",
    )
    free_at = models.DateTimeField(
        default=timezone.now,
        editable=False,
        help_text="When the messages that were let through are all within the rate.",
    )

    down_since = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ("kind",)

    def __str__(self) -> str:
        return self.get_kind_display()

    @property
    def is_tried(self) -> bool:
        """Whether it was down, and what comes next shows how it is."""
        return self.breaker_state != BreakerState.CLOSED


class Verification(models.Model):
    """A code that was sent to an address, by which a member shows that it is theirs.

    It outlives its member for as long as it counts towards the limits of its address.
    """

    message = models.UUIDField(primary_key=True, help_text="The message that carried it.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="verifications"
    )
    kind = models.CharField(max_length=16, choices=channel_kinds)
    address = models.CharField(max_length=1000)
    requested_from = models.GenericIPAddressField(null=True, help_text="The internet address that asked for it.")
    code = models.CharField(max_length=64, help_text="Hashed with the site's secret.")
    tries = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    verified_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True, help_text="Why it may not arrive.")

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="verification_created")]

    def __str__(self) -> str:
        return f"a code for {self.address}"


# --- What a plan has to look at ---------------------------------------------------------------------------------------


class Replan(models.Model):
    """A contest or a member that changed since the last plan. Triggers of the database add them, plans take them.

    The first mark of a contest since then knows how it was before, so that a contest which is back where it was has not
    moved.
    """

    user_id = models.BigIntegerField(null=True)
    contest_id = models.BigIntegerField(null=True)
    was_at = models.DateTimeField(null=True, help_text="Its start before; nothing of a new contest.")
    was_cancelled = models.BooleanField(default=False)
    taken = models.BooleanField(default=False, db_default=False)

    def __str__(self) -> str:
        return f"contest {self.contest_id}" if self.contest_id else f"member {self.user_id}"


class Horizon(models.Model):
    """The one row that says up to when all is planned. Whoever plans holds its lock."""

    until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"planned until {self.until}"
