"""What a provider tells afterwards of messages that it took: delivered, read, or failed after all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from notifications import providers
from notifications.channels.base import ChannelDead, DeliveryError, ProviderDown, RetryLater
from notifications.channels.whatsapp.webhook import Report
from notifications.models import Verification
from notifications.outcomes import PROVIDER_PAUSE, TELL_ON_ANOTHER_CHANNEL
from notifications.retrying import tried_again

# Callbacks come in any order and more than once, so each is held against what is known by then:
# - who was reached stays reached, and who read it has it; a later failure, of a second device, changes nothing;
# - what left waits no more; what failed is not said to have left, only to have arrived after all;
# - what failed and may be tried again is a new message, of which no callback of the old one speaks.
_RECORD = f"""
WITH report AS (
    SELECT *
    FROM unnest(%(messages)s::uuid[], %(left)s::timestamptz[], %(delivered)s::timestamptz[], %(read)s::timestamptz[],
                %(errors)s::text[], %(after)s::interval[], %(dead)s::boolean[])
        AS each (message, left_at, delivered_at, read_at, error, after, dead)
), known AS (
    SELECT notification.id,
        report.*,
        report.error <> '' AND notification.delivered_at IS NULL
            AND notification.status IN ('pending', 'sending', 'sent') AS fails,
        report.left_at IS NOT NULL AND notification.status <> 'sent'
            AND (notification.status <> 'failed' OR report.delivered_at IS NOT NULL) AS leaves
    FROM report
    JOIN notifications_notification notification USING (message)
    ORDER BY notification.id
    FOR NO KEY UPDATE OF notification
), changed AS (
    UPDATE notifications_notification notification
    SET status = CASE
            WHEN known.leaves THEN 'sent'
            WHEN known.fails THEN CASE WHEN known.after IS NULL THEN 'failed' ELSE 'pending' END
            ELSE notification.status
        END,
        error = CASE WHEN known.leaves THEN '' WHEN known.fails THEN known.error ELSE notification.error END,
        claim = CASE WHEN known.leaves OR known.fails THEN NULL ELSE notification.claim END,
        message = CASE WHEN known.fails AND known.after IS NOT NULL THEN NULL ELSE notification.message END,
        available_at = CASE
            WHEN known.fails THEN coalesce(%(now)s::timestamptz + known.after, notification.available_at)
            ELSE notification.available_at
        END,
        sent_at = CASE
            WHEN known.fails THEN NULL
            WHEN known.leaves THEN coalesce(notification.sent_at, known.left_at)
            ELSE notification.sent_at
        END,
        delivered_at = least(notification.delivered_at, known.delivered_at),
        read_at = least(notification.read_at, known.read_at)
    FROM known
    WHERE notification.id = known.id
        AND (
            known.fails
            OR known.leaves
            OR known.delivered_at < coalesce(notification.delivered_at, 'infinity')
            OR known.read_at < coalesce(notification.read_at, 'infinity')
        )
    RETURNING notification.channel_id, known.fails, known.leaves, known.left_at, known.error, known.dead
), by_channel AS (
    SELECT channel_id AS channel,
        max(left_at) FILTER (WHERE leaves) AS sent_at,
        max(error) FILTER (WHERE fails) AS error,
        coalesce(bool_or(dead) FILTER (WHERE fails), false) AS dead
    FROM changed
    GROUP BY channel_id
), recorded_on_channel AS (
    UPDATE notifications_channel channel
    SET last_sent_at = greatest(channel.last_sent_at, by_channel.sent_at),
        last_error_at = CASE WHEN by_channel.error <> '' THEN %(now)s::timestamptz ELSE channel.last_error_at END,
        last_error = coalesce(by_channel.error, channel.last_error),
        disabled_at = CASE WHEN by_channel.dead THEN %(now)s::timestamptz ELSE channel.disabled_at END,
        disabled_reason = CASE WHEN by_channel.dead THEN by_channel.error ELSE channel.disabled_reason END
    FROM by_channel
    WHERE channel.id = by_channel.channel
        AND (by_channel.error <> '' OR by_channel.sent_at IS NOT NULL)
        AND (channel.disabled_at IS NULL OR NOT by_channel.dead)
    RETURNING channel.id, channel.user_id, channel.label, channel.address, by_channel.dead, by_channel.dead AS lost,
        by_channel.error
), {TELL_ON_ANOTHER_CHANNEL}
SELECT count(*), coalesce(array_agg(DISTINCT error) FILTER (WHERE fails), '{{}}')
FROM changed
"""


@dataclass(slots=True)
class Fate:
    """All that the reports of one body say of one message. `left_at` is the first sign that it did."""

    message: UUID
    left_at: datetime | None = None
    delivered_at: datetime | None = None
    read_at: datetime | None = None
    error: DeliveryError | None = None

    def add(self, report: Report) -> None:
        if report.state == "failed":
            self.error = self.error or report.error
        else:
            self.left_at = _first(self.left_at, report.at)
        if report.state in ("delivered", "read"):
            self.delivered_at = _first(self.delivered_at, report.at)
        if report.state == "read":
            self.read_at = _first(self.read_at, report.at)

    def settle(self) -> None:
        """Who was reached was; else what failed did so after it had left."""
        if self.delivered_at:
            self.error = None
        elif self.error:
            self.left_at = None

    @property
    def after(self) -> timedelta | None:
        """When it may be tried again, if it may."""
        if isinstance(self.error, RetryLater | ProviderDown):
            return max(self.error.after or PROVIDER_PAUSE, PROVIDER_PAUSE)
        return None


def _first(known: datetime | None, at: datetime) -> datetime:
    return min(known, at) if known else at


def record(kind: str, reports: Iterable[Report], now: datetime) -> int:
    """Write down what became of messages on channels of `kind`. Returns how many notifications it changed."""
    fates: dict[UUID, Fate] = {}
    for report in reports:
        fates.setdefault(report.message, Fate(report.message)).add(report)
    if not fates:
        return 0
    for fate in fates.values():
        fate.settle()
    changed, errors = tried_again(lambda: _record(list(fates.values()), now), "what a provider told")
    _record_on_verifications(fates)
    down = [fate.error for fate in fates.values() if isinstance(fate.error, ProviderDown) and str(fate.error) in errors]
    if down:
        providers.record(kind, now, error=str(down[0]), after=down[0].after)
    return changed


def _record(fates: Sequence[Fate], now: datetime) -> tuple[int, Sequence[str]]:
    """How many notifications changed, and the errors of those that failed now."""
    with connection.cursor() as cursor:
        cursor.execute(
            _RECORD,
            {
                "now": now,
                "messages": [fate.message for fate in fates],
                "left": [fate.left_at for fate in fates],
                "delivered": [fate.delivered_at for fate in fates],
                "read": [fate.read_at for fate in fates],
                "errors": [str(fate.error or "") for fate in fates],
                "after": [fate.after for fate in fates],
                "dead": [isinstance(fate.error, ChannelDead) for fate in fates],
            },
        )
        changed, errors = cursor.fetchone()
    return int(changed), errors


def _record_on_verifications(fates: dict[UUID, Fate]) -> None:
    """A code that did not arrive, so that the page on which it is waited for can say so."""
    for verification in Verification.objects.filter(pk__in=[fate.message for fate in fates.values() if fate.error]):
        Verification.objects.filter(pk=verification.pk).update(error=str(fates[verification.pk].error))
