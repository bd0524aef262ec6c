"""What is kept of a member, taken along and deleted. Alice is a member, Bob is staff, Charlie is another member."""

import json
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.contrib.auth.models import User
from django.core import mail
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from notifications import export
from notifications.deletion import LastSuperuser, delete_account
from notifications.models import CalendarFeed, Channel, ContestChoice, Notification, Preference, Verification
from tests.factories import ContestFactory, MemberFactory, NotificationFactory, StaffFactory
from tests.pages import soup, text
from tests.smtp import Inbox

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_limits_reached")]


def fill(member: User) -> None:
    """A row of everything."""
    now = timezone.now()
    channel = member.channels.get()
    NotificationFactory(channel=channel, status="failed", error="550 no such user")
    NotificationFactory(channel=channel, status="sent", sent_at=now)
    Channel.objects.create(user=member, kind="push", address="https://push.example/1", keys={"auth": "secret-auth"})
    ContestChoice.objects.create(user=member, contest=ContestFactory(key="2156"), wish="mute")
    CalendarFeed.objects.create(user=member)
    Verification.objects.create(
        message="6f1c2c52-9f2c-4a6e-9a55-7a8a1b6a4c11",
        user=member,
        kind="whatsapp",
        address="+49",
        code="hashed-code",
        created_at=now,
    )


def add_notifications(channel: Channel, count: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO notifications_notification (
                channel_id, contest_name, kind, lead_minutes, starts_at, due_at, expires_at, created_at, status,
                attempts, available_at, error, detail
            )
            SELECT %s, 'Round', 'reminder', 60, now() + n * interval '1 minute', now(), now(), now(), 'sent',
                1, now(), '', ''
            FROM generate_series(1, %s) AS n
            """,
            [channel.pk, count],
        )


def exported(client: Client) -> dict[str, Any]:
    response = client.get("/account/export/")
    assert response.status_code == 200
    document = json.loads(b"".join(response.streaming_content))  # type: ignore[attr-defined]  # of a streamed response
    assert isinstance(document, dict)
    return document


def test_the_pages_are_for_members(client: Client) -> None:
    for path in ("/account/", "/account/export/", "/account/delete/"):
        assert client.get(path)["Location"] == f"/accounts/login/?next={path}"
    assert client.post("/account/delete/", {"confirmation": ""})["Location"].startswith("/accounts/login/")


# --- The export ----------------------------------------------------------------------------------------------------


def test_everything_is_in_it_and_nothing_of_anybody_else(client: Client, alice: User) -> None:
    fill(alice)
    charlie = MemberFactory(username="charlie")
    NotificationFactory(channel=charlie.channels.get(), contest_name="Charlie's")
    found = exported(client)
    assert found["account"]["email"] == "alice@example.org"
    assert found["addresses"] == [{"email": "alice@example.org", "verified": True, "primary": True}]
    assert found["preference"]["lead_minutes"] == [1440, 60]
    assert found["calendar"]["address"].endswith(f"/calendar/{alice.calendar_feed.token}.ics")
    assert {channel["kind"] for channel in found["channels"]} == {"email", "push"}
    assert [(choice["key"], choice["wish"]) for choice in found["choices"]] == [("2156", "mute")]
    assert [(each["status"], each["error"]) for each in found["notifications"]] == [
        ("failed", "550 no such user"),
        ("sent", ""),
    ]
    assert [each["address"] for each in found["verifications"]] == ["+49"]
    assert "harlie" not in json.dumps(found)


def test_nothing_is_in_it_with_which_others_could_act_for_the_member(client: Client, alice: User) -> None:
    fill(alice)
    found = json.dumps(exported(client))
    for secret in (alice.password, "secret-auth", "hashed-code", client.session.session_key):
        assert str(secret) not in found


@pytest.mark.parametrize(
    ("model", "columns", "left_out"),
    [
        (User, export.ACCOUNT, {"id", "password", "is_superuser", "is_active"}),
        (EmailAddress, export.ADDRESSES, {"id", "user"}),
        (Preference, export.PREFERENCE, {"user"}),
        (Channel, export.CHANNELS, {"user", "keys"}),
        (Verification, export.VERIFICATIONS, {"user", "message", "code", "tries"}),
        (Notification, export.NOTIFICATIONS, {"id", "contest", "claim", "message", "expires_at", "available_at"}),
    ],
)
def test_a_column_that_is_new_is_in_it_or_left_out_on_purpose(
    model: type[Model], columns: tuple[str, ...], left_out: set[str]
) -> None:
    assert {*columns} | left_out == {field.name for field in model._meta.fields}


def test_a_table_that_is_new_is_in_it_or_left_out_on_purpose() -> None:
    in_it = {"EmailAddress", "Preference", "Channel", "Verification", "ContestChoice", "CalendarFeed"}
    of_staff_work = {"LogEntry", "Schedule"}
    theirs = {
        model.__name__ for model in apps.get_models() for field in model._meta.fields if field.related_model is User
    }
    assert theirs - of_staff_work == in_it


def test_it_is_a_download_that_nobody_keeps(client: Client, alice: User) -> None:
    response = client.get("/account/export/")
    assert response["Content-Type"] == "application/json"
    assert response["Content-Disposition"].startswith('attachment; filename="codenotify-')
    assert "no-store" in response["Cache-Control"]
    assert client.post("/account/export/").status_code == 405


def test_an_account_without_anything_is_exported_too(client: Client) -> None:
    user = User.objects.create(username="zoe")
    Preference.objects.all().delete()
    client.force_login(user)
    found = exported(client)
    assert (found["preference"], found["calendar"], found["notifications"]) == (None, None, [])


@pytest.mark.django_db(transaction=True)
def test_much_of_it_takes_no_more_memory(alice: User) -> None:
    add_notifications(alice.channels.get(), 20_000)
    tracemalloc.start()
    size = sum(len(piece) for piece in export.of_member(alice, timezone.now()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 5_000_000
    assert peak < size / 2 < 10_000_000


# --- Deletion ------------------------------------------------------------------------------------------------------


def left_of(member: User) -> list[str]:
    """The tables in which the account's id, name or address still stands."""
    with connection.cursor() as cursor:
        tables = [table for table in connection.introspection.table_names(cursor) if not table.startswith("django_mig")]
        found = []
        for table in tables:
            columns = {column.name for column in connection.introspection.get_table_description(cursor, table)}
            if "user_id" in columns and table != "notifications_replan":
                cursor.execute(f'SELECT count(*) FROM "{table}" WHERE user_id = %s', [member.pk])
                found += [table] * cursor.fetchone()[0]
            cursor.execute(f'SELECT count(*) FROM "{table}" row WHERE row::text LIKE %s', [f"%{member.email}%"])
            found += [table] * cursor.fetchone()[0]
    return found


def test_deleting_takes_everything_signs_out_and_says_so_by_mail(client: Client, alice: User) -> None:
    fill(alice)
    charlie = MemberFactory(username="charlie")
    NotificationFactory(channel=charlie.channels.get())
    calendar = f"/calendar/{alice.calendar_feed.token}.ics"
    assert left_of(alice)
    response = client.post("/account/delete/", {"password": "correct horse"}, follow=True)
    assert "Your account is deleted" in text(response)
    assert "_auth_user_id" not in client.session
    assert left_of(alice) == []
    assert set(User.objects.all()) == {charlie}
    assert Notification.objects.count() == Channel.objects.count() == 1
    (message,) = mail.outbox
    assert (message.to, message.subject) == (["alice@example.org"], "Your account is deleted")
    assert client.get(calendar).status_code == 404
    signing_in = client.post("/accounts/login/", {"login": "alice@example.org", "password": "correct horse"})
    assert "are not correct" in text(signing_in)


def test_other_browsers_are_signed_out_too(client: Client, alice: User) -> None:
    other = Client()
    other.force_login(alice)
    client.post("/account/delete/", {"password": "correct horse"})
    assert other.get("/preferences/").status_code == 302


@pytest.mark.parametrize("password", ["wrong", "", "correct horse ", "alice@example.org"])
def test_without_the_password_nothing_goes(client: Client, alice: User, password: str) -> None:
    response = client.post("/account/delete/", {"password": password, "confirmation": "alice@example.org"})
    assert response.status_code == 200
    assert soup(response).select(".field.wrong")
    assert User.objects.get() == alice
    assert mail.outbox == []


def test_looking_deletes_nothing(client: Client, alice: User) -> None:
    assert client.get("/account/delete/?password=correct+horse").status_code == 200
    assert User.objects.get() == alice


def test_who_has_no_password_types_the_address(client: Client, alice: User) -> None:
    alice.set_unusable_password()
    alice.save()
    client.force_login(alice)
    assert "Type alice@example.org to confirm" in text(client.get("/account/delete/"))
    assert "This is not alice@example.org." in text(client.post("/account/delete/", {"confirmation": "charlie"}))
    client.post("/account/delete/", {"confirmation": "Alice@example.org"})
    assert not User.objects.exists()


def test_the_password_cannot_be_guessed(client: Client, alice: User) -> None:
    codes = [client.post("/account/delete/", {"password": str(n)}).status_code for n in range(11)]
    assert codes == [200] * 10 + [429]
    assert client.post("/account/delete/", {"password": "correct horse"}).status_code == 429
    assert User.objects.get() == alice


def test_a_form_from_elsewhere_deletes_nothing(alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    assert strict.post("/account/delete/", {"password": "correct horse"}).status_code == 403
    assert User.objects.get() == alice


def test_the_last_superuser_stays_with_a_sentence(client: Client) -> None:
    bob = StaffFactory(username="bob")
    former = StaffFactory(username="former", is_active=False)
    client.force_login(bob)
    assert "You are the last superuser" in text(client.get("/account/delete/"))
    refused = client.post("/account/delete/", {"password": "correct horse"}, follow=True)
    assert "You are the last superuser" in text(refused, ".messages")
    with pytest.raises(LastSuperuser):
        delete_account(bob.pk)
    assert set(User.objects.all()) == {bob, former}
    User.objects.filter(pk=former.pk).update(is_active=True)
    client.post("/account/delete/", {"password": "correct horse"})
    assert set(User.objects.all()) == {former}


@pytest.mark.django_db(transaction=True)
def test_of_two_superusers_who_go_at_the_same_moment_one_stays() -> None:
    superusers = [StaffFactory(), StaffFactory()]
    together = Barrier(2)

    def go(user: User) -> bool:
        try:
            together.wait()
            delete_account(user.pk)
        except LastSuperuser:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(go, superusers)) == [False, True]
    assert User.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_who_clicks_twice_is_told_of_the_deletion_and_not_of_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, together = MemberFactory(), Barrier(2)

    def both_at_once(user: int) -> bool:
        together.wait()
        return delete_account(user)

    def click(client: Client) -> str:
        try:
            return str(client.post("/account/delete/", {"password": "correct horse"}).headers["Location"])
        finally:
            connection.close()

    monkeypatch.setattr("notifications.deletion.delete_account", both_at_once)
    clients = [Client(), Client()]
    for client in clients:
        client.force_login(alice)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(click, clients)) == ["/", "/"]
    assert not User.objects.exists()
    assert len(mail.outbox) == 1
    assert all("Your account is deleted" in text(client.get("/"), ".messages") for client in clients)


def test_a_mail_server_that_is_away_keeps_nobody(client: Client, alice: User, settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    response = client.post("/account/delete/", {"password": "correct horse"}, follow=True)
    assert "could not be sent" in text(response, ".messages")
    assert not User.objects.exists()


def test_who_has_no_address_gets_no_mail(client: Client) -> None:
    zoe = User.objects.create_user("zoe", password="correct horse")
    client.force_login(zoe)
    response = client.post("/account/delete/", {"password": "correct horse"}, follow=True)
    assert text(response, ".messages") == "Your account is deleted, with everything that was kept of it."
    assert mail.outbox == []


def test_the_mail_arrives_at_a_real_server(client: Client, alice: User, inbox: Inbox) -> None:
    client.post("/account/delete/", {"password": "correct horse"})
    (message,) = inbox.to("alice@example.org")
    assert "alice@example.org is deleted" in message.get_content()


def test_a_hundred_thousand_notifications_go_in_as_many_statements_as_two(alice: User) -> None:
    def statements(member: User, count: int) -> int:
        add_notifications(member.channels.get(), count)
        with CaptureQueriesContext(connection) as captured:
            delete_account(member.pk)
        assert len([q for q in captured if q["sql"].startswith('DELETE FROM "notifications_notification"')]) <= 2
        return len(captured)

    assert statements(MemberFactory(), 2) == statements(alice, 100_000)
    assert not Notification.objects.exists()
