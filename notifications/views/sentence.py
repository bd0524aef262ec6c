"""What a member's choices come to, in words: what will be told, when and where, or why nothing is."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

from allauth.account.models import EmailAddress
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from contests.models import Contest, Platform
from notifications import outlook
from notifications.channels import CHANNELS
from notifications.forms import lead_in_words, length_in_words
from notifications.models import Channel, ContestChoice, Digest, Preference, Purpose, Quiet, Weekday
from notifications.outlook import Reminder


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why no reminders come, and where that can be changed."""

    sentence: str
    url: str = ""
    link: str = ""


@dataclass(slots=True)
class Sentence:
    """`told` says what comes, where there is no trouble; `next` is what comes first; `further` is worth to know."""

    troubles: list[Trouble] = field(default_factory=list)
    told: str = ""
    next: str = ""
    further: list[str] = field(default_factory=list)


def sentence_of(preference: Preference, channels: Sequence[Channel], now: datetime) -> Sentence:
    """Of a member with these channels. Moments are said in the current time zone."""
    wishes = _wishes(preference, now)
    platforms = list(Platform.objects.filter(code__in=preference.platforms).values_list("name", flat=True))
    said = Sentence(troubles=_troubles(preference, channels, bool(platforms or wishes["follow"])))
    if preference.is_paused:
        return said
    if not said.troubles:
        said.told = _told(preference, _for(Purpose.REMINDERS, channels), platforms)
        said.next = _next(preference, now)
    said.further = list(
        filter(
            None,
            (
                _changes(channels),
                _digest(preference, channels),
                _quiet(preference),
                _left_out(preference) if platforms else "",
                _followed(wishes),
            ),
        )
    )
    return said


def _wishes(preference: Preference, now: datetime) -> "Counter[str]":
    found = ContestChoice.objects.filter(user=preference.user_id, contest__starts_at__gt=now)
    return Counter(found.values_list("wish", flat=True))


def _for(purpose: Purpose, channels: Iterable[Channel]) -> list[Channel]:
    return [channel for channel in channels if channel.is_usable and purpose in channel.purposes]


# --- Why nothing comes ------------------------------------------------------------------------------------------------


def _troubles(preference: Preference, channels: Sequence[Channel], wants_any: bool) -> list[Trouble]:
    troubles = []
    if preference.is_paused:
        until = preference.paused_until
        end = moment_in_words(until, timezone.now()) if until else "you take it back"
        troubles.append(Trouble(f"You paused everything until {end}.", "#pause", "End the pause"))
    if not preference.active:
        troubles.append(Trouble("Your reminders rest because you were away for long: sign out and in to wake them."))
    if not wants_any:
        troubles.append(Trouble("You chose no platform, and follow no contest.", "#platforms", "Choose platforms"))
    if not _for(Purpose.REMINDERS, channels):
        troubles.extend(_unreachable(preference, channels))
    return troubles


def _unreachable(preference: Preference, channels: Sequence[Channel]) -> Iterable[Trouble]:
    url = reverse("channels")
    if any(channel.is_usable for channel in channels):
        yield Trouble("None of your channels is for reminders.", url, "Choose one")
        return
    unconfirmed = list(EmailAddress.objects.filter(user=preference.user_id, verified=False))
    for address in unconfirmed:
        yield Trouble(f"{address.email} is not confirmed yet.", url, "Confirm it")
    for channel in channels:
        if why := channel.why_not:
            yield Trouble(f"{channel.name}: {why}", url, "See what can be done")
    if not channels and not unconfirmed:
        yield Trouble("You have no channel: nowhere to send reminders to.", url, "Add one")


# --- What comes -------------------------------------------------------------------------------------------------------


def _told(preference: Preference, channels: Sequence[Channel], platforms: Sequence[str]) -> str:
    leads = joined(lead_in_words(lead) for lead in sorted(preference.lead_minutes, reverse=True))
    of = f"{joined(platforms)} contests" if platforms else "the contests that you follow"
    return f"You get {_messages(channels)} {leads} before {of}."


def _messages(channels: Sequence[Channel]) -> str:
    """`a mail to a@example.org and b@example.org, and a notification to Phone`."""
    by_kind: dict[str, list[str]] = {}
    for channel in channels:
        by_kind.setdefault(channel.kind, []).append(channel.name)
    return joined(f"{CHANNELS[kind].message} to {joined(names)}" for kind, names in by_kind.items())


def _next(preference: Preference, now: datetime) -> str:
    announced = outlook.of_member(preference.user_id, now)
    coming = [(each.at, each) for each in announced if each.at and _is_sent(each)]
    if coming:
        at, first = min(coming, key=lambda pair: pair[0])
        comes = f"comes {moment_in_words(at, now)}" if at > now else "comes within minutes"
        message = CHANNELS[first.channel_kind or ""].message.removeprefix("a ")
        return f"Next: {first.contest_name}, {moment_in_words(first.starts_at, now)}; the {message} {comes}."
    contests = {each.contest for each in announced}
    if not contests:
        return "No contest is announced at the moment."
    if any(each.sent_at for each in announced):
        return "You were told of all that is announced."
    ((reason, _),) = Counter(each.reason for each in announced).most_common(1)
    if len(contests) == 1:
        return f"The only contest that is announced now is not for you: {reason}"
    return f"Of the {len(contests)} contests that are announced now none is for you, mostly because: {reason}"


def _is_sent(reminder: Reminder) -> bool:
    """What is planned for a kind of channel that the operator does not offer any more waits in vain."""
    kind = reminder.channel_kind
    return reminder.comes and kind in CHANNELS and CHANNELS[kind].is_configured()


def what_is_told_of(contest: Contest, user: int, now: datetime) -> Sequence[str]:
    """What a member will be told of one contest, a line for each channel, or why nothing is."""
    rows = outlook.of_contest(contest.pk, now, [user])
    coming = [each for each in rows if _is_sent(each)]
    if not coming:
        sent = [each for each in rows if each.sent_at]
        reasons = dict.fromkeys(each.reason for each in rows if each.reason)
        return ["You were told of it already."] if sent else [f"You are not told of it. {' '.join(reasons)}".strip()]
    lines = []
    for _, group in groupby(coming, key=lambda each: each.channel):
        first, *others = group
        moments = (
            moment_in_words(each.at, now) if each.at and each.at > now else "within minutes"
            for each in (first, *others)
        )
        message = CHANNELS[first.channel_kind or ""].message
        lines.append(f"You get {message} to {first.channel_name} {joined(dict.fromkeys(moments))}.")
    return lines


def _changes(channels: Sequence[Channel]) -> str:
    told = _for(Purpose.CHANGES, channels)
    if told and told == _for(Purpose.REMINDERS, channels):
        return "You are told there at once when one of them moves or is cancelled."
    if told:
        return f"You get {_messages(told)} at once when one of them moves or is cancelled."
    return "You are not told when one of them moves or is cancelled: none of your channels is for that."


def _digest(preference: Preference, channels: Sequence[Channel]) -> str:
    if preference.digest == Digest.OFF:
        return ""
    day = "Every day" if preference.digest == Digest.DAILY else f"On {Weekday(preference.digest_weekday).label}s"
    when = f"{day} at {preference.digest_hour:02}:00"
    if told := _for(Purpose.DIGEST, channels):
        return f"{when} you get {_messages(told)} with what is ahead."
    return f"{when} a list of what is ahead would come, but none of your channels is for it."


def _quiet(preference: Preference) -> str:
    begin, end = preference.quiet_from, preference.quiet_until
    if begin is None or end is None:
        return ""
    instead = f"comes just before, at {begin:%H:%M}"
    if preference.quiet_choice == Quiet.AFTER:
        instead = f"comes at {end:%H:%M}, or just before {begin:%H:%M} where that would be too late"
    return f"Nothing comes from {begin:%H:%M} to {end:%H:%M}: a reminder of that time {instead}."


def _left_out(preference: Preference) -> str:
    parts = []
    if not preference.trainings:
        parts.append("daily trainings")
    if not preference.unrated:
        parts.append("unrated contests")
    if preference.longest_contest is not None:
        parts.append(f"what lasts longer than {length_in_words(preference.longest_contest)}")
    if words := preference.excluded_words:
        parts.append("what has " + joined((f"“{word}”" for word in words), "or") + " in its name")
    return f"Left out: {joined(parts)}." if parts else ""


def _followed(wishes: "Counter[str]") -> str:
    parts = []
    if count := wishes[ContestChoice.Wish.FOLLOW]:
        parts.append(f"follow {count} contest{'s' if count > 1 else ''}")
    if count := wishes[ContestChoice.Wish.MUTE]:
        parts.append(f"muted {count}")
    return f"Besides, you {joined(parts)}." if parts else ""


# --- Words ------------------------------------------------------------------------------------------------------------


def joined(words: Iterable[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    *others, end = words
    return f"{', '.join(others)} {last} {end}" if others else end


def moment_in_words(moment: datetime, now: datetime) -> str:
    """`today 15:35`, `tomorrow 15:35`, `Saturday 15:35`, and with the date where that is more than six days ahead."""
    local = timezone.localtime(moment)
    days = (local.date() - timezone.localtime(now).date()) // timedelta(days=1)
    if days in (0, 1):
        return f"{'tomorrow' if days else 'today'} {local:%H:%M}"
    return date_format(local, "l H:i" if 0 < days < 7 else "l j F Y, H:i")
