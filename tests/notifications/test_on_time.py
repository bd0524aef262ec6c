"""A fortnight of rounds against a slow and obvious model of what members were promised.

Contests are added late, moved earlier and later, cancelled and taken back; members change their minds in every way that
the form allows, in zones whose clocks change; rounds fail to happen for hours. Whatever comes of it: no reminder is
later than promised, none comes after the start or in quiet hours, and none twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from contests.models import Contest
from notifications.channels import CHANNELS
from notifications.channels.base import Channel, Message
from notifications.dispatch import dispatch
from notifications.models import ContestChoice, Notification, Preference, Status
from tests.factories import ContestFactory, MemberFactory
from tests.times import DAY, HOUR, MINUTE

pytestmark = pytest.mark.django_db

ZONES = ("UTC", "America/New_York", "Europe/Lisbon", "Australia/Lord_Howe", "Asia/Kolkata")
BEGINNINGS = (date(2027, 3, 10), date(2027, 3, 24), date(2027, 10, 1), date(2027, 10, 28), date(2027, 6, 1))
"""Before clocks change in New York, Lisbon and Lord Howe, forward and back; and in a fortnight in which none does."""


# --- What members may wish ------------------------------------------------------------------------------------------

times = st.sampled_from(
    [time(0), time(0, 30), time(1, 15), time(2), time(2, 30), time(7), time(13), time(22), time(23)]
)

wishes = st.fixed_dictionaries(
    {
        "platforms": st.sampled_from([["codeforces", "atcoder"], ["atcoder", "codeforces"], ["atcoder"], []]),
        "lead_minutes": st.lists(st.sampled_from([10, 45, 60, 180, 1440, 10080]), unique=True, min_size=1, max_size=3),
        "trainings": st.booleans(),
        "unrated": st.booleans(),
        "longest_contest": st.sampled_from([None, 2 * HOUR, 24 * HOUR]),
        "excluded_words": st.sampled_from([[], ["div. 3"], ["nothing", "kotlin"]]),
        "time_zone": st.sampled_from(ZONES),
        "quiet": st.one_of(
            st.none(),
            st.just((time(22), time(7))),
            st.just((time(7), time(22))),
            st.tuples(times, times).filter(lambda ends: ends[0] != ends[1]),
        ),
        "quiet_choice": st.sampled_from(["before", "after"]),
    }
)


def columns(wish: dict[str, Any]) -> dict[str, Any]:
    """The wish as Preference keeps it."""
    quiet_from, quiet_until = wish["quiet"] or (None, None)
    kept = {name: value for name, value in wish.items() if name != "quiet"}
    return {**kept, "quiet_from": quiet_from, "quiet_until": quiet_until}


# --- What may happen ------------------------------------------------------------------------------------------------

minutes_of_a_fortnight = st.integers(0, 14 * 24 * 60)
contests = st.fixed_dictionaries(
    {
        "platform": st.sampled_from(["codeforces", "atcoder"]),
        "name": st.sampled_from(["Round 1", "Round 2 (Div. 3)", "Kotlin Heroes"]),
        "is_training": st.booleans(),
        "is_rated": st.sampled_from([None, True, False]),
        "duration": st.sampled_from([2 * HOUR, 5 * HOUR, 48 * HOUR]),
    }
)
additions = st.tuples(st.just("add"), contests, st.integers(5, 10 * 24 * 60))
events = st.one_of(
    additions,
    additions,
    additions,
    st.tuples(st.just("move"), st.integers(0, 9), st.integers(-3 * 24 * 60, 3 * 24 * 60)),
    st.tuples(st.just("cancel"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("choose"), st.integers(0, 9), st.sampled_from(["follow", "mute", None])),
    st.tuples(st.just("wish"), wishes, st.none()),
    st.tuples(st.just("pause"), st.one_of(st.none(), st.integers(0, 3 * 24 * 60)), st.none()),
    st.tuples(st.just("resume"), st.none(), st.none()),
)


# --- The slow and obvious model -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Alice:
    user: User
    wish: dict[str, Any]
    paused: bool = False
    paused_until: datetime | None = None
    choices: dict[int, str | None] = field(default_factory=dict)

    def is_paused(self, now: datetime) -> bool:
        return self.paused and not (self.paused_until and self.paused_until <= now)

    def is_interested(self, contest: Contest) -> bool:
        choice = self.choices.get(contest.pk)
        if choice:
            return choice == "follow"
        longest = self.wish["longest_contest"]
        return (
            contest.platform_id in self.wish["platforms"]
            and (self.wish["trainings"] or not contest.is_training)
            and (self.wish["unrated"] or contest.is_rated is not False)
            and (longest is None or contest.duration <= longest)
            and not any(word in contest.name.lower() for word in self.wish["excluded_words"])
        )

    def quiet(self, moment: datetime) -> tuple[datetime, datetime] | None:
        """The quiet hours in which a moment lies: their beginning and end."""
        if self.wish["quiet"] is None:
            return None
        begins, ends = self.wish["quiet"]
        local = moment.astimezone(ZoneInfo(self.wish["time_zone"]))
        day, clock = local.date(), local.time()
        if begins < ends and begins <= clock < ends:
            days = day, day
        elif begins > ends and clock >= begins:
            days = day, day + DAY
        elif begins > ends and clock < ends:
            days = day - DAY, day
        else:
            return None
        return min(moment, self.instant(days[0], begins)), max(moment, self.instant(days[1], ends))

    def instant(self, day: date, clock: time) -> datetime:
        """Of two moments that the clock shows, or none, the later one, as PostgreSQL has it."""
        zone = ZoneInfo(self.wish["time_zone"])
        return max(datetime.combine(day, clock, zone).replace(fold=fold).astimezone(UTC) for fold in (0, 1))

    def due(self, contest: Contest, lead: int) -> tuple[datetime, datetime]:
        """When a reminder is promised, and before which it does not come."""
        moment = contest.starts_at - lead * MINUTE
        quiet = self.quiet(moment)
        if quiet is None:
            return moment, datetime.min.replace(tzinfo=UTC)
        begins, ends = quiet
        if self.wish["quiet_choice"] == "after" and ends < contest.starts_at:
            return ends, ends
        return begins, datetime.min.replace(tzinfo=UTC)


Key = tuple[int, int, int, datetime]


class Recorder(Channel):
    """Keeps what it is given, in the place of a mail server."""

    kind = "email"
    title = "mail"
    sent: ClassVar[list[Message]] = []

    def send(self, message: Message) -> None:
        Recorder.sent.append(message)

    def close(self) -> None:
        pass


@dataclass
class Play:
    """The service and the model, side by side."""

    members: list[Alice]
    now: datetime
    told: set[Key] = field(default_factory=set)
    heard_of_cancellation: set[tuple[int, int]] = field(default_factory=set)

    def happen(self, kind: str, what: Any, more: Any) -> bool:
        """One thing happens, to the rows and to the model. Returns whether a round follows at once, as after a sync."""
        known = list(Contest.objects.order_by("pk"))
        alice = self.members[0]
        rows = Preference.objects.filter(user=alice.user)
        match kind:
            case "add":
                starts_at = self.now + more * MINUTE
                ContestFactory(**what, starts_at=starts_at, ends_at=starts_at + what["duration"] + DAY)
            case "move" if known:
                contest = known[what % len(known)]
                contest.starts_at += more * MINUTE
                contest.ends_at += more * MINUTE
                contest.save()
            case "cancel" if known:
                contest = known[what % len(known)]
                contest.cancelled_at = self.now if more else None
                contest.save()
            case "choose" if known:
                contest = known[what % len(known)]
                alice.choices[contest.pk] = more
                ContestChoice.objects.filter(user=alice.user, contest=contest).delete()
                if more:
                    ContestChoice.objects.create(user=alice.user, contest=contest, wish=more)
            case "wish":
                alice.wish = what
                rows.update(**columns(what))
            case "pause":
                alice.paused, alice.paused_until = True, None if what is None else self.now + what * MINUTE
                rows.update(paused=True, paused_until=alice.paused_until)
            case "resume":
                alice.paused = False
                rows.update(paused=False, paused_until=None)
        return kind in ("add", "move", "cancel")

    def round(self, next_round_at: datetime) -> datetime | None:
        """A round of the service; what it sent is what the model says, and the rest is known to wait for its time."""
        must, waits = self.promised(next_round_at)
        before = len(Recorder.sent)
        report = dispatch(next_round_at=next_round_at)
        reminders = Notification.objects.filter(kind="reminder", status=Status.SENT, sent_at=self.now)
        sent = {(each.channel.user_id, each.contest_id, each.lead_minutes, each.starts_at) for each in reminders}
        assert sent - self.told == must, (self.now, next_round_at)
        self.told |= must
        for each in Notification.objects.filter(
            kind__in=["moved", "cancelled", "reinstated"], status=Status.SENT, sent_at=self.now
        ):
            self.check_change(each)
        assert len({message.id for message in Recorder.sent}) == len(Recorder.sent)
        assert len(Recorder.sent) - before <= 4 * len(self.members)
        if waits and min(waits) < next_round_at:
            assert report.next_at is not None
            assert report.next_at <= min(waits), "it would come late"
        return report.next_at

    def promised(self, next_round_at: datetime) -> tuple[set[Key], list[datetime]]:
        """What has to leave in this round, and when that may leave which may not yet."""
        must, waits = set(), []
        for alice in self.members:
            if alice.is_paused(self.now):
                continue
            for contest in Contest.objects.filter(cancelled_at=None, starts_at__gt=self.now):
                if not alice.is_interested(contest):
                    continue
                for lead in alice.wish["lead_minutes"]:
                    key = (alice.user.pk, contest.pk, lead, contest.starts_at)
                    due, not_before = alice.due(contest, lead)
                    if key in self.told or min(due, contest.starts_at - lead * MINUTE) >= next_round_at:
                        continue
                    quiet = alice.quiet(self.now)
                    free = max(quiet[1] if quiet else self.now, not_before)
                    if free <= self.now:
                        must.add(key)
                    elif free < contest.starts_at:
                        waits.append(free)
        return must, waits

    def check_change(self, told: Notification) -> None:
        (alice,) = (alice for alice in self.members if alice.user.pk == told.channel.user_id)
        assert not alice.is_paused(self.now)
        assert alice.quiet(self.now) is None
        assert told.contest is not None
        assert alice.choices.get(told.contest.pk) != "mute"
        assert self.now < told.expires_at
        if told.kind == "cancelled":
            assert told.contest.cancelled_at is not None
        else:
            assert told.contest.cancelled_at is None
            assert told.was_at != told.starts_at == told.contest.starts_at
        if told.kind == "reinstated":
            assert (told.channel_id, told.contest.pk) in self.heard_of_cancellation
        elif told.kind == "cancelled":
            self.heard_of_cancellation.add((told.channel_id, told.contest.pk))


@given(
    beginning=st.sampled_from(BEGINNINGS),
    interval=st.sampled_from([360, 720]),
    first=st.lists(wishes, min_size=1, max_size=3),
    happenings=st.lists(st.tuples(minutes_of_a_fortnight, events), min_size=15, max_size=25),
    down=st.lists(st.tuples(minutes_of_a_fortnight, st.integers(30, 24 * 60)), max_size=2),
)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_reminder_is_late_or_lost_or_there_twice(
    beginning: date,
    interval: int,
    first: list[dict[str, Any]],
    happenings: list[tuple[int, Any]],
    down: list[tuple[int, int]],
) -> None:
    begins = datetime.combine(beginning, time(0), UTC)
    Recorder.sent = []
    with pytest.MonkeyPatch.context() as patch, transaction.atomic():
        patch.setitem(CHANNELS, "email", Recorder)
        with time_machine.travel(begins, tick=False) as clock:
            members = [
                Alice(MemberFactory(**{f"preference__{name}": value for name, value in columns(wish).items()}), wish)
                for wish in first
            ]
            play = Play(members, begins)
            waiting = sorted(happenings, key=lambda happening: happening[0])
            for at, next_round_at, is_up in rounds(begins, interval, down):
                while waiting and begins + waiting[0][0] * MINUTE <= at:
                    minute, event = waiting.pop(0)
                    play.now = begins + minute * MINUTE
                    clock.move_to(play.now)
                    note(f"{play.now}: {event}")
                    if play.happen(*event) and is_up:
                        follow(play, clock, at)
                play.now = at
                clock.move_to(at)
                if is_up:
                    follow(play, clock, next_round_at)
        transaction.set_rollback(True)


def rounds(begins: datetime, interval: int, down: list[tuple[int, int]]) -> Iterator[tuple[datetime, datetime, bool]]:
    for minute in range(0, 14 * 24 * 60 + 1, interval):
        at = begins + minute * MINUTE
        yield at, at + interval * MINUTE, not any(start <= minute < start + length for start, length in down)


def follow(play: Play, clock: Any, next_round_at: datetime) -> None:
    """A round, and those that it asks for itself until the next one."""
    next_at = play.round(next_round_at)
    while next_at and next_at < next_round_at:
        play.now = next_at
        clock.move_to(next_at)
        next_at = play.round(next_round_at)
