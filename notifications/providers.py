"""What all processes that send through one provider share: whether it is up, and how much it takes."""

from datetime import datetime, timedelta

from django.db import connection, transaction

from notifications.models import Provider

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


def let_through(kind: str, most: int, now: datetime) -> tuple[int, datetime]:
    """How many messages, of at most so many, may leave now; and when the next one may where none may.

    A provider that is down gets one message when its pause is over, which shows how it is.
    """
    provider, _ = Provider.objects.get_or_create(kind=kind)
    if until := provider.paused_until(now):
        return 0, until
    if provider.is_tried:
        most = 1
    if provider.per_second is None:
        return most, now
    with connection.cursor() as cursor:
        cursor.execute(_LET_THROUGH, {"kind": kind, "most": most, "now": now})
        messages, free_at = cursor.fetchone()
    return int(messages), free_at


def give_back(kind: str, messages: int) -> None:
    """What was let through and did not leave."""
    if messages > 0:
        with connection.cursor() as cursor:
            cursor.execute(_GIVE_BACK, {"kind": kind, "messages": messages})


@transaction.atomic
def record(kind: str, now: datetime, *, error: str = "", after: timedelta | None = None) -> None:
    """Write down how the provider itself did, with the pause for which it asked."""
    provider, _ = Provider.objects.select_for_update().get_or_create(kind=kind)
    if error:
        provider.record_failure(now, error)
        if after and provider.breaker_opened_at:
            provider.breaker_opened_at = max(provider.breaker_opened_at, now + after - Provider.BREAKER_PAUSE)
    else:
        provider.record_success(now)
    provider.save(update_fields=Provider.BREAKER_FIELDS)
