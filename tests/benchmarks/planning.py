"""Planning for 100,000 members and 40 contests."""

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from contests.models import Contest
from contests.platforms import PLATFORMS
from notifications.models import Channel, Notification, Preference
from notifications.planning import plan
from notifications.scope import Scope
from notifications.settling import settle
from tests.benchmarks.__main__ import measure, say
from tests.factories import ContestFactory, make_members

MEMBERS, CONTESTS, SAMPLE = 100_000, 40, 500
HALF_HOUR = timedelta(minutes=30)


def run() -> None:
    now = timezone.now()
    make_members(MEMBERS)
    # A quarter of the members follows each platform, so that a million reminders are due.
    codes: list[str] = list(PLATFORMS)
    first = Preference.objects.order_by("pk").values_list("pk", flat=True)[0]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE notifications_preference SET platforms = ARRAY[(%s::text[])[1 + (user_id - %s) %% 4]]",
            [list(PLATFORMS), first],
        )
    for number in range(CONTESTS):
        ContestFactory(platform=codes[number % 4], starts_at=now + timedelta(hours=2, minutes=number))
    execute("VACUUM ANALYZE")

    plan(now, now + HALF_HOUR)
    rows = Notification.objects.count()
    columns = ", ".join(
        str(field.column) for field in Notification._meta.local_concrete_fields if not field.primary_key
    )
    execute(f"CREATE TABLE bench_rows AS SELECT {columns} FROM notifications_notification")
    bare = f"INSERT INTO notifications_notification ({columns}) SELECT {columns} FROM bench_rows"

    ours, bares = [], []
    for _ in range(3):
        bares.append(measure(empty, lambda: execute(bare)))
        ours.append(measure(empty, lambda: plan(now, now + HALF_HOUR)))
    idle = min(measure(lambda: None, lambda: plan(now, now + HALF_HOUR)) for _ in range(2))
    settling = measure(lambda: execute("VACUUM ANALYZE notifications_notification"), lambda: settle(Scope(now, now)))
    execute("DROP TABLE bench_rows")

    per_member = measure(empty, lambda: member_by_member(now)) / SAMPLE
    full = min(ours)
    print(f"{MEMBERS:,} members, {CONTESTS} contests, {rows:,} reminders due")
    say(
        "plan / the same rows by a bare INSERT … SELECT",
        full / min(bares),
        "≤ 1.2",
        f"{full:.1f} s / {min(bares):.1f} s",
    )
    say(
        "a query per member and contest / plan",
        per_member * MEMBERS / full,
        "≥ 100",
        f"{per_member * MEMBERS:.0f} s, from {SAMPLE} members",
    )
    say("a plan with nothing new / a full one", idle / full, "≤ 0.02", f"{idle:.2f} s")
    say("looking again at all that is pending / a full plan", settling / full, "", f"{settling:.1f} s")
    empty()


def member_by_member(now: object) -> None:
    """The obvious way: for each contest and each member who may want it, look whether they know already."""
    contests = list(Contest.objects.all())
    channels = list(Channel.objects.order_by("pk")[:SAMPLE])
    for contest in contests:
        for channel in channels:
            Notification.objects.filter(channel=channel, contest=contest, starts_at=contest.starts_at).exists()


def empty() -> None:
    execute("TRUNCATE notifications_notification, notifications_replan, notifications_horizon")
    execute("CHECKPOINT")


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
