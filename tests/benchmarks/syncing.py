"""A platform that lists 10,000 contests, over real HTTP."""

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from config.demo.server import WorldServer
from config.demo.world import World, WorldContest
from contests.models import Contest
from contests.sync import sync
from tests.benchmarks.__main__ import measure, say

CONTESTS = 10_000


def run() -> None:
    now = timezone.now().replace(microsecond=0)
    length = timedelta(hours=2)
    world = World(
        WorldContest("codeforces", str(key), f"Round {key}", now + timedelta(minutes=30 + key), length)
        for key in range(1, CONTESTS + 1)
    )
    with WorldServer(world) as server:
        settings.PLATFORM_URLS = {**settings.PLATFORM_URLS, "codeforces": server.url_of("codeforces")}

        def one() -> None:
            report = sync(["codeforces"])
            assert report.ok, report

        def forget() -> None:
            Contest.objects.all().delete()

        def rows() -> list[Contest]:
            return [
                Contest(
                    platform_id="codeforces",
                    key=contest.key,
                    name=contest.name,
                    url="https://codeforces.com/",
                    starts_at=contest.starts_at,
                    ends_at=contest.ends_at,
                    duration=contest.duration,
                    last_seen_at=now,
                )
                for contest in world.of("codeforces")
            ]

        bare = min(measure(forget, lambda: Contest.objects.bulk_create(rows())) for _ in range(2))
        first = min(measure(forget, one) for _ in range(2))
        unchanged = min(measure(lambda: None, one) for _ in range(2))
    print(f"{CONTESTS:,} contests listed by one platform")
    say("first sync / the same rows by a bare bulk_create", first / bare, "", f"{first:.2f} s / {bare:.2f} s")
    say("unchanged sync / first sync", unchanged / first, "", f"{unchanged:.2f} s")
