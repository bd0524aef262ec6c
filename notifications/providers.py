"""What all processes that send through one provider share: whether it is up, and how much it takes."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import TextChoices

from config.breaker import BreakerState
from notifications.channels import CHANNELS
from notifications.models import Notification, Provider, Status

# The generic cell rate algorithm: `free_at` moves on by the time that each message is worth. As much as a second's
# worth may leave at once, and always one.
_LET_THROUGH = """
WITH provider AS (
    SELECT kind, per_second, greatest(free_at, %(now)s) AS free_at, greatest(1, per_second) / per_second AS burst
    FROM notifications_provider
    WHERE kind = %(kind)s
    FOR NO KEY UPDATE
), room AS (
    SELECT provider.*,
        least(%(most)s, floor((burst - extract(epoch FROM free_at - %(now)s)) * per_second + 1e-6))::int AS messages
    FROM provider
)
UPDATE notifications_provider
SET free_at = room.free_at + make_interval(secs => greatest(room.messages, 0) / room.per_second)
FROM room
WHERE notifications_provider.kind = room.kind
RETURNING greatest(room.messages, 0),
    room.free_at - make_interval(secs => room.burst - 1 / room.per_second)
"""

_GIVE_BACK = """
UPDATE notifications_provider
SET free_at = free_at - make_interval(secs => %(messages)s / per_second)
WHERE kind = %(kind)s AND per_second IS NOT NULL
"""


def let_through(kind: str, most: int, now: datetime) -> tuple[int, datetime | None]:
    """How many messages, of at most so many, may leave now; and when the next one is within the rate.

    None may while it is down, and nobody knows for how long. It gets one message when its pause is over, which shows
    how it is.
    """
    provider, _ = Provider.objects.get_or_create(kind=kind)
    if provider.paused_until(now):
        return 0, None
    if provider.is_tried:
        most = 1
    if provider.per_second is None:
        return most, now
    with connection.cursor() as cursor:
        cursor.execute(_LET_THROUGH, {"kind": kind, "most": most, "now": now})
        messages, free_at = cursor.fetchone()
    return int(messages), free_at


def give_back(kind: str, messages: int) -> None:
    """What was let through and did not leave; or, below zero, leaves besides."""
    if messages:
        with connection.cursor() as cursor:
            cursor.execute(_GIVE_BACK, {"kind": kind, "messages": messages})


LATELY = timedelta(seconds=10)
"""Who did well so lately is known to be up: that need not be written down for each few messages."""


def record(kind: str, now: datetime, *, error: str = "", after: timedelta | None = None) -> None:
    """Write down how the provider itself did, with the pause for which it asked."""
    up = Provider.objects.filter(breaker_state=BreakerState.CLOSED, last_success_at__gt=now - LATELY)
    if error or not up.filter(kind=kind).exists():
        _record(kind, now, error, after)


@transaction.atomic
def _record(kind: str, now: datetime, error: str, after: timedelta | None) -> None:
    provider, _ = Provider.objects.select_for_update().get_or_create(kind=kind)
    if error:
        provider.record_failure(now, error)
        provider.down_since = provider.down_since or now
        if after and provider.breaker_opened_at:
            provider.breaker_opened_at = max(provider.breaker_opened_at, now + after - Provider.BREAKER_PAUSE)
    elif not provider.paused_until(now):  # else it was handed over before others heard that nothing is taken any more
        provider.record_success(now)
        provider.down_since = None
    provider.save(update_fields=(*Provider.BREAKER_FIELDS, "down_since"))


# --- What staff see and do -------------------------------------------------------------------------------------------


class Health(TextChoices):
    UP = "up", "up"
    DOWN = "down", "down"
    UNUSED = "unused", "never used"
    ABSENT = "absent", "not set up"


def health_of(provider: Provider) -> Health:
    if provider.kind not in CHANNELS or not CHANNELS[provider.kind].is_configured():
        return Health.ABSENT
    if provider.is_failing or provider.is_tried:
        return Health.DOWN
    return Health.UP if provider.last_success_at else Health.UNUSED


def trouble_of(provider: Provider, now: datetime) -> str:
    """What is wrong now, in a sentence or two; nothing where it is up."""
    match health_of(provider):
        case Health.ABSENT:
            return "The operator has not set it up: members are not offered it, and nothing is sent."
        case Health.DOWN:
            since = f"Down since {provider.down_since:%Y-%m-%d %H:%M} UTC." if provider.down_since else ""
            until = provider.paused_until(now)
            again = f"It is tried again after {until:%H:%M:%S} UTC." if until else "The next message tries it."
            return " ".join(filter(None, (provider.last_error, since, again)))
    return ""


@dataclass(frozen=True, slots=True)
class Queue:
    """How many notifications wait to be sent through a provider, and since when the oldest is due.

    They are counted up to MOST_COUNTED, and one more where there are more.
    """

    waiting: int = 0
    oldest: datetime | None = None

    @property
    def counted(self) -> str:
        return f"{self.waiting:,}" if self.waiting <= MOST_COUNTED else f"more than {MOST_COUNTED:,}"

    def __str__(self) -> str:
        return "1 notification waits" if self.waiting == 1 else f"{self.counted} notifications wait"


MOST_COUNTED = 10_000

_QUEUES = """
SELECT kind.name, found.*
FROM unnest(%(kinds)s::text[]) AS kind (name)
CROSS JOIN LATERAL (
    SELECT count(*), min(due_at)
    FROM (
        SELECT notification.due_at
        FROM notifications_notification notification
        JOIN notifications_channel channel ON channel.id = notification.channel_id
        WHERE notification.status IN ('pending', 'sending')
            AND notification.expires_at > %(now)s
            AND channel.kind = kind.name
        ORDER BY notification.available_at
        LIMIT %(most)s
    ) AS waiting
) AS found
"""


def queues(now: datetime) -> dict[str, Queue]:
    """What waits to be sent, by kind of channel."""
    with connection.cursor() as cursor:
        cursor.execute(_QUEUES, {"kinds": list(CHANNELS), "now": now, "most": MOST_COUNTED + 1})
        return {kind: Queue(waiting, oldest) for kind, waiting, oldest in cursor.fetchall()}


@transaction.atomic
def reset(kinds: Collection[str], now: datetime) -> list[Provider]:
    """Let the next message through, and all that waits for these providers: somebody knows that the trouble is over.

    What waits for a reason of its own goes on waiting: for the provider to say what became of it, or for another
    attempt.
    """
    found = list(Provider.objects.select_for_update().filter(kind__in=kinds))
    for provider in found:
        provider.reset_breaker()
        provider.save(update_fields=Provider.BREAKER_FIELDS)
    held = Notification.objects.filter(status=Status.PENDING, attempts=0, available_at__gt=now).exclude(error="")
    held.filter(channel__kind__in=[provider.kind for provider in found]).update(available_at=now)
    return found
