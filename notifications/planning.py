"""Deciding what is to be told. No loop over members, in any process, ever.

A plan looks at what is new: the contests and members that changed since the last one, which the database has marked
(`Replan`), and what has come within reach since (`Horizon`). So one with nothing new costs next to nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime

from django.db import IntegrityError, connection, transaction

from notifications import changes, digests, reminders, settling
from notifications.models import Horizon, Status
from notifications.retrying import tried_again
from notifications.scope import Scope

MANY = 1_000
"""So many new rows, and the database is told what the table looks like now: the statements that follow choose their way
by that, and the wrong one takes a hundred times as long."""


@dataclass(slots=True)
class Planned:
    """How many notifications are new, by kind, and how many were resolved otherwise, by the status they got."""

    by_kind: dict[str, int] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)

    @property
    def new(self) -> int:
        return sum(self.by_kind.values())

    @property
    def expired(self) -> int:
        return self.settled.get(Status.EXPIRED, 0)

    @property
    def skipped(self) -> int:
        return self.settled.get(Status.SKIPPED, 0)


def plan(now: datetime, until: datetime) -> Planned:
    """Add what would be late if it were not sent before `until`, and resolve what is not to be sent after all.

    A reminder is due at the contest's start less the lead; one whose contest appeared inside the lead is due at once.

    Whether all still is there of which the new ones speak is seen when the transaction ends: it must be the plan's own,
    or the plan cannot be tried again.
    """
    tries = 3
    while True:
        try:
            return tried_again(lambda: _plan(now, until), "a plan")
        except IntegrityError:  # a member or a contest went away in this very moment
            tries -= 1
            if not tries:
                raise


@transaction.atomic
def _plan(now: datetime, until: datetime) -> Planned:
    """In one transaction, so that the marks go away with what they stood for.

    1. Hold the horizon: one plan at a time.
    2. End the pauses whose time is over, and take the marks.
    3. Resolve what is planned and no longer right; add reminders, what moved or was cancelled, and digests.
    4. Drop the marks, and move the horizon.
    """
    horizon, _ = Horizon.objects.select_for_update().get_or_create(pk=1)
    scope = _scope(now, until, horizon.until)
    planned = Planned(settled=settling.settle(scope))
    planned.by_kind = {
        **({"reminder": count} if (count := reminders.add(scope)) else {}),
        **changes.add(scope),
        **({"digest": count} if (count := digests.add(scope)) else {}),
    }
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM notifications_replan WHERE taken")
        if planned.new >= MANY:
            cursor.execute("ANALYZE notifications_notification")
    # Back as well, where the next round comes sooner than the last one was told: what is new was not planned beyond.
    Horizon.objects.filter(pk=1).update(until=until)
    return planned


_END_PAUSES = """
UPDATE notifications_preference
SET paused = false, paused_until = NULL
WHERE paused AND paused_until <= %(now)s
"""

_TAKE = "UPDATE notifications_replan SET taken = true"

_CONTESTS = "SELECT DISTINCT contest_id FROM notifications_replan WHERE taken AND contest_id IS NOT NULL"

_SOME_MEMBER = "SELECT EXISTS (SELECT FROM notifications_replan WHERE taken AND user_id IS NOT NULL)"


def _scope(now: datetime, until: datetime, since: datetime | None) -> Scope:
    with connection.cursor() as cursor:
        cursor.execute(_END_PAUSES, {"now": now})
        cursor.execute(_TAKE)
        if since is None:
            return Scope(now, until)
        crossing = reminders.crossing(now, until, since)
        cursor.execute(_CONTESTS)
        contests = [contest for (contest,) in cursor.fetchall()]
        cursor.execute(_SOME_MEMBER)
        (members,) = cursor.fetchone()
    return Scope(now, until, since, contests, crossing, members)
