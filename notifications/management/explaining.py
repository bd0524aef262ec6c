"""What one member will be told, and why not, as an operator reads it: moments in UTC."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.db.models import Q

from contests.models import Contest
from notifications.channels import title_of
from notifications.forms import lead_in_words
from notifications.models import Preference
from notifications.outlook import Digest, Reminder, digests_of_member, of_member

USAGE = 2
MOST_REMINDERS = 10_000
LARGEST_ID = 2**31 - 1
WITHOUT_PREFERENCE = "The account has no preferences: signing in to the site and saving them there makes some."


def account_named(name: str) -> User:
    """The account of that user name, mail address or id, in this order. Raises CommandError: none, or several."""
    found = list(User.objects.filter(username=name))
    if not found:
        by_address = Q(email__iexact=name) | Q(emailaddress__email__iexact=name, emailaddress__verified=True)
        found = list(User.objects.filter(by_address).distinct().order_by("pk"))
    if not found and name.isascii() and name.isdigit() and int(name) <= LARGEST_ID:
        found = list(User.objects.filter(pk=int(name)))
    if len(found) > 1:
        ids = ", ".join(str(user.pk) for user in found)
        raise CommandError(f"Several accounts have the address {name}: name one by its id, {ids}.", returncode=USAGE)
    if not found:
        typed = " ".join(name.split())
        raise CommandError(f"There is no account with the user name, mail address or id “{typed}”.", returncode=USAGE)
    return found[0]


def explain(user: User, now: datetime) -> dict[str, Any]:
    """Of each upcoming contest, in their order, what the member will be told or was told of it, or why not.

    A contest has a `reason` where nothing at all will be told of it, and else an entry in `reminders` for each channel
    and lead, which may have a reason of its own. `digests` are the next ones, by channel.
    """
    preference = Preference.objects.filter(user=user).first()
    reminders = of_member(user.pk, now, most=MOST_REMINDERS)
    return {
        "user": {"id": user.pk, "username": user.username, "email": user.email},
        "time_zone": preference.time_zone if preference else None,
        "channels": [
            {"id": channel.pk, "kind": channel.kind, "name": channel.name} for channel in user.channels.kept()
        ],
        "digests": [_digest(each) for each in digests_of_member(user.pk, now)],
        "contests": list(_by_contest(reminders)) if preference else list(_without_preference(now)),
    }


def _by_contest(reminders: Sequence[Reminder]) -> Iterator[dict[str, Any]]:
    for _, group in groupby(reminders, key=lambda reminder: reminder.contest):
        found = list(group)
        first = found[0]
        yield {
            **_contest(first.contest, first.contest_name, first.platform, first.starts_at),
            "reason": first.reason if first.channel is None else "",
            "reminders": [_reminder(each) for each in found if each.channel is not None],
        }


def _without_preference(now: datetime) -> Iterator[dict[str, Any]]:
    for contest in Contest.objects.upcoming(now):
        about = _contest(contest.pk, contest.name, contest.platform_id, contest.starts_at)
        yield {**about, "reason": WITHOUT_PREFERENCE, "reminders": []}


def _contest(pk: int, name: str, platform: str, starts_at: datetime) -> dict[str, Any]:
    return {"id": pk, "name": name, "platform": platform, "starts_at": starts_at}


def _reminder(reminder: Reminder) -> dict[str, Any]:
    return {
        "channel": reminder.channel,
        "kind": reminder.channel_kind,
        "name": reminder.channel_name,
        "lead_minutes": reminder.lead_minutes,
        "at": reminder.at,
        "comes": reminder.comes,
        "status": reminder.status,
        "sent_at": reminder.sent_at,
        "reason": reminder.reason,
    }


def _digest(digest: Digest) -> dict[str, Any]:
    return {
        "channel": digest.channel,
        "kind": digest.channel_kind,
        "name": digest.channel_name,
        "at": digest.at,
        "contests": digest.contests,
    }


def digests_in_words(explained: dict[str, Any]) -> Iterator[str]:
    for digest in explained["digests"]:
        count = digest["contests"]
        what = f"with {count} contest{'s' if count > 1 else ''} by what is known now" if count else "if any is ahead"
        where = f"{title_of(digest['kind'])} to {digest['name']}"
        yield f"The next digest comes at {shown(digest['at'])} UTC by {where}, {what}."


def rows(explained: dict[str, Any]) -> Iterator[list[str]]:
    """Contest, start, when it is told, and by what channel or why not; a contest's name stands once."""
    for contest in explained["contests"]:
        names = [f"{contest['name']} ({contest['platform']})", shown(contest["starts_at"])]
        if not contest["reminders"]:
            yield [*names, "no", contest["reason"]]
        for reminder in contest["reminders"]:
            yield [*names, *_told(reminder)]
            names = ["", ""]


def _told(reminder: dict[str, Any]) -> tuple[str, str]:
    lead = f", {lead_in_words(reminder['lead_minutes'])} before" if reminder["lead_minutes"] else ""
    by = f"{title_of(reminder['kind'])} to {reminder['name']}{lead}"
    if reminder["sent_at"]:
        return f"sent {shown(reminder['sent_at'])}", by
    if reminder["comes"]:
        return shown(reminder["at"]), by
    return reminder["status"] or "no", f"{by}: {reminder['reason']}"


def shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
