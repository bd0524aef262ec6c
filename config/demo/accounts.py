"""The people of the demo: one member of staff and three members in three time zones."""

from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.utils import timezone

from notifications.channels.email import Email
from notifications.models import Channel, Preference

PASSWORD = "contest-time"

STAFF = "staff"
WISHES: dict[str, dict[str, Any]] = {
    "alice": {"time_zone": "America/New_York"},
    "bob": {"time_zone": "Europe/Lisbon", "platforms": ["codeforces", "atcoder"], "lead_minutes": [1440, 120, 15]},
    "charlie": {"time_zone": "Asia/Kolkata", "platforms": ["leetcode", "codechef"]},
}


def make() -> None:
    User.objects.create_superuser(STAFF, f"{STAFF}@example.org", PASSWORD)
    for name, wishes in WISHES.items():
        user = User.objects.create_user(name, f"{name}@example.org", PASSWORD)
        Preference.objects.filter(user=user).update(**wishes)
        Channel.objects.create(user=user, kind=Email.kind, address=user.email, verified_at=timezone.now())
    EmailAddress.objects.bulk_create(
        [EmailAddress(user=user, email=user.email, verified=True, primary=True) for user in User.objects.all()]
    )
