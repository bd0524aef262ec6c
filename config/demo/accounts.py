"""The people of the demo: one member of staff and three members in three time zones."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.utils import timezone

from contests.models import Contest
from notifications.channels.email import Email
from notifications.models import Channel, ContestChoice, Digest, Preference, Quiet

PASSWORD = "contest-time"

STAFF = "staff"
MEMBERS = {
    "alice": "quiet hours",
    "bob": "a digest every day",
    "charlie": "follows a contest of Codeforces, mutes one of LeetCode",
}
"""With what there is to see of each."""

CHOICES = {("codeforces", "3190"): "follow", ("leetcode", "weekly-contest-906"): "mute"}
"""Charlie's, by platform and key."""


def make() -> None:
    """Once the contests are known. Nobody's quiet hours have begun, and a digest comes at the next full hour."""
    now = timezone.now()
    User.objects.create_superuser(STAFF, f"{STAFF}@example.org", PASSWORD)
    for name in MEMBERS:
        user = User.objects.create_user(name, f"{name}@example.org", PASSWORD)
        Preference.objects.filter(user=user).update(**_wishes(name, now))
        Channel.objects.create(user=user, kind=Email.kind, address=user.email, verified_at=now)
    EmailAddress.objects.bulk_create(
        [EmailAddress(user=user, email=user.email, verified=True, primary=True) for user in User.objects.all()]
    )
    charlie = User.objects.get(username="charlie")
    for (platform, key), wish in CHOICES.items():
        ContestChoice.objects.create(user=charlie, contest=Contest.objects.get(platform=platform, key=key), wish=wish)


def _wishes(name: str, now: datetime) -> dict[str, Any]:
    match name:
        case "alice":
            here = now.astimezone(ZoneInfo("America/New_York")).replace(minute=0)
            quiet = {"quiet_from": here + timedelta(hours=3), "quiet_until": here + timedelta(hours=9)}
            times = {name: moment.time().replace(second=0, microsecond=0) for name, moment in quiet.items()}
            return {"time_zone": "America/New_York", **times, "quiet_choice": Quiet.AFTER}
        case "bob":
            here = now.astimezone(ZoneInfo("Europe/Lisbon")) + timedelta(hours=1)
            digest = {"digest": Digest.DAILY, "digest_hour": here.hour}
            leads = {"platforms": ["codeforces", "atcoder"], "lead_minutes": [1440, 120, 15]}
            return {"time_zone": "Europe/Lisbon", **leads, **digest}
    return {"time_zone": "Asia/Kolkata", "platforms": ["leetcode", "codechef"]}
