"""An operator asks what a member will be told, and what a round did. Alice, Bob and Charlie are members."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from notifications.models import Channel, ContestChoice, Notification, Preference, Status
from notifications.planning import plan
from scheduler.models import Run
from tests.database import queries_of
from tests.factories import ContestFactory, MemberFactory, NotificationFactory, UserFactory
from tests.smtp import Inbox
from tests.times import DAY, HOUR, NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("database_is_there", "stopped_clock")]

DISPATCH = "dispatch_notifications"


@pytest.fixture
def alice() -> User:
    return MemberFactory(username="alice", preference__lead_minutes=[1440, 60], preference__platforms=["codeforces"])


Say = Callable[..., str]


@pytest.fixture
def say(say: Say) -> Say:
    """What the command of a round prints."""
    return partial(say, DISPATCH)


def told(say: Say, user: str) -> Any:
    return json.loads(say("--explain", user, "--json"))


def test_each_contest_is_explained_with_when_and_by_what_channel_or_why_not(say: Say, alice: User) -> None:
    ContestFactory(name="Round 1", starts_at=NOW + 2 * DAY)
    ContestFactory(name="Beginners 2", platform="atcoder", starts_at=NOW + 3 * DAY)
    ContestFactory(name="Round 0", starts_at=NOW - HOUR)
    mail = "mail to alice@example.org"
    text = say("--explain", "alice")
    assert f"alice, id {alice.pk}, in UTC. Channels: {mail}." in text
    assert "Round 1 (codeforces) 2026-11-24 12:00 2026-11-23 12:00 " + f"{mail}, 24 h before" in text
    assert f"2026-11-24 11:00 {mail}, 1 h before" in text
    assert "Beginners 2 (atcoder) 2026-11-25 12:00 no Its platform is not among those chosen." in text
    assert "Round 0" not in text


def test_programs_get_the_same_as_json(say: Say, alice: User) -> None:
    contest = ContestFactory(name="Round 1", starts_at=NOW + 2 * DAY)
    muted = ContestFactory(name="Round 2", starts_at=NOW + 3 * DAY)
    ContestChoice.objects.create(user=alice, contest=muted, wish="mute")
    channel = alice.channels.get()
    explained = told(say, "alice")
    assert explained["user"] == {"id": alice.pk, "username": "alice", "email": "alice@example.org"}
    assert explained["channels"] == [{"id": channel.pk, "kind": "email", "name": "alice@example.org"}]
    first, second = explained["contests"]
    about = {"platform": "codeforces", "starts_at": "2026-11-24T12:00:00Z", "reason": ""}
    assert {**first, "reminders": []} == {"id": contest.pk, "name": "Round 1", **about, "reminders": []}
    assert first["reminders"][1] == {
        "channel": channel.pk,
        "kind": "email",
        "name": "alice@example.org",
        "lead_minutes": 60,
        "at": "2026-11-24T11:00:00Z",
        "comes": True,
        "status": None,
        "sent_at": None,
        "reason": "",
    }
    assert (second["reason"], second["reminders"]) == ("It is muted.", [])


def test_the_next_digest_is_explained(say: Say, alice: User) -> None:
    assert told(say, "alice")["digests"] == []
    Preference.objects.update(digest="daily", digest_hour=8)
    ContestFactory(starts_at=NOW + 2 * DAY)
    said = "The next digest comes at 2026-11-23 08:00 UTC by mail to alice@example.org"
    assert f"{said}, if any is ahead." in say("--explain", "alice")
    ContestFactory(starts_at=NOW + DAY)
    assert f"{said}, with 1 contest by what is known now." in say("--explain", "alice")
    (digest,) = told(say, "alice")["digests"]
    assert digest == {
        "channel": alice.channels.get().pk,
        "kind": "email",
        "name": "alice@example.org",
        "at": "2026-11-23T08:00:00Z",
        "contests": 1,
    }


def test_what_is_explained_is_what_is_planned(say: Say, alice: User) -> None:
    for hours in (1, 5, 30, 100):
        ContestFactory(starts_at=NOW + hours * HOUR)
    MemberFactory()
    coming = {
        (contest["id"], reminder["lead_minutes"], reminder["at"])
        for contest in told(say, "alice")["contests"]
        for reminder in contest["reminders"]
        if reminder["comes"]
    }
    plan(NOW, NOW + 7 * DAY)
    planned = Notification.objects.filter(channel__user=alice)
    assert {
        (each.contest_id, each.lead_minutes, f"{max(each.due_at, NOW):%Y-%m-%dT%H:%M:%SZ}") for each in planned
    } == coming
    assert len(coming) == 8


def test_what_was_told_already_and_what_failed_is_said(say: Say, alice: User) -> None:
    contest, channel = ContestFactory(name="Round 1", starts_at=NOW + HOUR / 2), alice.channels.get()
    made: dict[str, Any] = {"contest": contest, "channel": channel}
    NotificationFactory(lead_minutes=1440, status=Status.SENT, sent_at=NOW - 23 * HOUR, **made)
    NotificationFactory(lead_minutes=60, status=Status.FAILED, error="550 no such user", **made)
    text = say("--explain", "alice")
    assert "sent 2026-11-21 13:00 mail to alice@example.org, 24 h before" in text
    assert "failed mail to alice@example.org, 1 h before: 550 no such user" in text


@pytest.mark.parametrize("name", ["alice", "alice@example.org", "ALICE@Example.org", "new@example.org", "id"])
def test_a_member_is_named_by_user_name_address_or_id(say: Say, alice: User, name: str) -> None:
    EmailAddress.objects.create(user=alice, email="new@example.org", verified=True)
    EmailAddress.objects.create(user=MemberFactory(), email="New@example.org", verified=False)
    assert told(say, str(alice.pk) if name == "id" else name)["user"]["username"] == "alice"


def test_a_user_name_comes_before_an_id(say: Say, alice: User) -> None:
    charlie = MemberFactory(username=str(alice.pk))
    assert told(say, str(alice.pk))["user"]["id"] == charlie.pk


@pytest.mark.parametrize("name", ["nobody", "", "0", "-1", "99999999999999999999", "²", "a\nb"])
def test_whoever_is_unknown_is_refused_with_one_line_and_exit_status_2(say: Say, name: str) -> None:
    with pytest.raises(CommandError) as error:
        say("--explain", name)
    assert error.value.returncode == 2
    assert str(error.value) == f"There is no account with the user name, mail address or id “{name}”.".replace(
        "\n", " "
    )


def test_an_address_of_several_accounts_asks_for_the_id(say: Say) -> None:
    first, second = (UserFactory(email="both@example.org") for _ in range(2))
    with pytest.raises(CommandError, match=f"by its id, {first.pk}, {second.pk}") as error:
        say("--explain", "both@example.org")
    assert error.value.returncode == 2


def test_it_works_for_who_has_no_channel_and_for_who_has_no_preferences(say: Say) -> None:
    ContestFactory(name="Round 1")
    bob = UserFactory(username="bob")
    (contest,) = told(say, "bob")["contests"]
    assert (contest["reason"], contest["reminders"]) == ("There is no channel.", [])
    assert "Channels: none." in say("--explain", "bob")
    Preference.objects.filter(user=bob).delete()
    (contest,) = told(say, "bob")["contests"]
    assert contest["reason"].startswith("The account has no preferences:")
    assert "The account has no preferences:" in say("--explain", "bob")


def test_without_contests_it_says_so(say: Say, alice: User) -> None:
    assert say("--explain", "alice").strip().endswith("There is no upcoming contest.")
    assert told(say, "alice")["contests"] == []


def test_explaining_changes_nothing_and_is_no_run(say: Say, alice: User) -> None:
    ContestFactory(starts_at=NOW + HOUR)
    say("--explain", "alice")
    assert not Notification.objects.exists()
    assert not Run.objects.exists()


def test_explaining_takes_as_few_queries_for_many_contests_as_for_few(say: Say, alice: User) -> None:
    ContestFactory()
    few = queries_of(say, "--explain", "alice")
    for _ in range(10):
        ContestFactory()
    assert queries_of(say, "--explain", "alice") == few <= 5


# --- What a round says it did -----------------------------------------------------------------------------------------


def test_a_round_says_what_it_planned_by_kind_what_was_sent_and_what_waits(say: Say, alice: User, inbox: Inbox) -> None:
    moving = ContestFactory(starts_at=NOW + 3 * DAY)
    say()
    moving.starts_at += DAY
    moving.ends_at += DAY
    moving.save()
    ContestFactory(starts_at=NOW + HOUR)
    Preference.objects.update(quiet_from=None)
    text = say()
    assert "planned 3 (reminder 2, moved 1), expired 0, skipped 0" in text
    assert "channel messages sent failed postponed waiting" in text
    assert "email 2 3 0 0 0" in text
    assert len(inbox.mails) == 2


def test_programs_get_all_figures_of_a_round(capsys: pytest.CaptureFixture[str], alice: User, inbox: Inbox) -> None:
    ContestFactory(starts_at=NOW + HOUR)
    inbox.refuse = lambda address: "450 4.2.0 Try again later"
    with pytest.raises(SystemExit):  # 1: something did not leave
        call_command(DISPATCH, "--json")
    report = json.loads(capsys.readouterr().out)
    assert {name: report[name] for name in ("planned", "sent", "failed", "expired", "skipped", "postponed")} == {
        **dict.fromkeys(("sent", "failed", "expired", "skipped"), 0),
        "planned": 2,
        "postponed": 2,
    }
    assert report["planned_by_kind"] == {"reminder": 2}
    assert report["waiting"]["email"]["waiting"] == 2
    assert report["waiting"]["email"]["oldest"].startswith("2026-11-21T13:00:00")
    assert report["next_at"] > "2026-11-22T12:00:00"
    assert set(report["by_channel"]["email"]) >= {"messages", "sent", "failed", "postponed"}
    assert isinstance(report["seconds"], float)


def test_a_round_that_sends_nothing_because_the_provider_is_down_says_so_and_fails(
    capsys: pytest.CaptureFixture[str], alice: User, inbox: Inbox, settings: Settings
) -> None:
    ContestFactory(starts_at=NOW + HOUR)
    settings.EMAIL_PORT = 9  # nobody listens on the discard port
    for since in ("", "email: 2 notifications wait. "):
        with pytest.raises(SystemExit):
            call_command(DISPATCH, "--json")
        captured = capsys.readouterr()
        report = json.loads(captured.out)
        assert "The mail server cannot be reached" in captured.err
        assert since in captured.err
        assert len(captured.err.strip().splitlines()) == 1
        assert "Down since 2026-11-22 12:00 UTC." in report["waiting"]["email"]["trouble"]


def test_a_dry_run_says_what_would_happen_and_does_nothing(say: Say, alice: User) -> None:
    ContestFactory(starts_at=NOW + HOUR)
    assert say("--dry-run") == "Would plan 2 (reminder 2), let 0 expire and skip 0. Nothing was sent. "
    assert not Notification.objects.exists()
    assert Channel.objects.get().last_sent_at is None
