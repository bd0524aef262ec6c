"""Django admin as a whole: its first page, its accounts, and who may do what. Bob is staff, Alice a member."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.admin import site
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings

from contests.models import Contest, ContestChange, Platform, PlatformSync
from notifications import providers
from notifications.models import Channel, ContestChoice, Notification, Preference, Status
from scheduler import ledger
from scheduler.models import Run, Schedule, Trigger
from scheduler.models import Status as RunStatus
from tests.admin import Page, act, page_of, staff_with
from tests.database import queries_of
from tests.factories import ContestFactory, MemberFactory, NotificationFactory, StaffFactory, UserFactory

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 22, 12, 1, tzinfo=UTC)
HOME = "/admin/"
USERS = "/admin/auth/user/"
ADDRESSES = "/admin/account/emailaddress/"
MODELS = sorted(site._registry, key=lambda model: model._meta.label)


@pytest.fixture(autouse=True)
def moment(stopped_clock: None) -> None:
    PeriodicTask.objects.update(date_changed=NOW)


@pytest.fixture
def bob(client: Client) -> Client:
    client.force_login(StaffFactory(username="bob"))
    Platform.objects.update(last_success_at=NOW - timedelta(hours=1))
    return client


def list_of(model: Any) -> str:
    return reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_changelist")


def some_of_everything() -> None:
    Group.objects.get_or_create(name="Helpers")
    contest = ContestFactory(name="<b>Round</b> " + "長い" * 200)
    ContestChange.objects.create(contest=contest, field="name", old="", new=contest.name, changed_at=NOW)
    NotificationFactory(contest=contest)
    PlatformSync.objects.create(platform=contest.platform, started_at=NOW, duration=timedelta(seconds=1))
    Run.objects.create(task="<b>job</b>", trigger="api", created_at=NOW, available_at=NOW)
    ledger.pause("bob", task="<b>job</b>")
    ContestChoice.objects.create(user=MemberFactory(), contest=contest, wish="mute")


def test_every_list_and_every_page_opens(bob: Client) -> None:
    some_of_everything()
    for model in MODELS:
        assert Page(bob, list_of(model)).rows == model._default_manager.count() > 0
        Page(bob, f"{list_of(model)}?_facets=True")
        for row in model._default_manager.all():
            Page(bob, page_of(row))
    for model in (User, Group, PeriodicTask):
        Page(bob, f"{list_of(model)}add/")


def test_staff_who_may_only_look_open_everything_and_are_offered_nothing_to_do(client: Client) -> None:
    some_of_everything()
    client.force_login(staff_with("view_"))
    Page(client, HOME)
    for model in MODELS:
        page = Page(client, list_of(model))
        assert page.rows
        assert not page.soup.select("select[name=action], #result_list input:not([type=hidden])"), model
        row = model._default_manager.first()
        assert row
        detail = Page(client, page_of(row))
        assert not detail.soup.select("button[name^=_], #content-main input:not([type=hidden])"), model
        assert client.post(page_of(row), {}).status_code == 403
        assert client.post(f"{list_of(model)}{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_staff_without_any_permission_see_a_page_that_says_so_and_no_links_that_refuse_them(client: Client) -> None:
    client.force_login(staff_with())
    page = Page(client, HOME)
    assert "There is nothing here that you may see yet." in page.text
    assert not page.soup.select(
        "a[href^='/admin/contests/'], a[href^='/admin/notifications/'], a[href^='/admin/auth/']"
    )
    for model in MODELS:
        assert client.get(list_of(model)).status_code == 403


def test_members_and_strangers_are_sent_to_sign_in(client: Client) -> None:
    assert client.get(HOME).status_code == 302
    client.force_login(MemberFactory())
    assert client.get(HOME).status_code == 302


def test_the_side_bar_leads_to_what_one_may_see(client: Client, settings: Settings) -> None:
    def links() -> list[str]:
        return [text.split(" ", 1)[1] for text in Page(client, HOME).texts("#nav-sidebar-apps a")]

    client.force_login(staff_with("view_channel", "change_group"))
    assert links() == ["At a glance", "Channels", "Groups"]
    settings.EMAIL_BACKEND = "config.outbox.EmailBackend"
    assert links() == ["At a glance", "Written mails", "Channels", "Groups"]


def test_where_all_is_well_the_first_page_says_so(bob: Client) -> None:
    page = Page(bob, HOME)
    assert "Nothing needs attention." in page.text
    assert "Scheduling is turned off" not in page.text


@pytest.fixture(autouse=True)
def scheduling(settings: Settings) -> None:
    settings.SCHEDULING_ENABLED = True


def attention(client: Client) -> list[str]:
    return [text.removeprefix("error ") for text in Page(client, HOME).texts("main li, #content li")]


def test_a_platform_that_cannot_be_read_needs_attention_with_the_reason(bob: Client) -> None:
    Platform.objects.filter(code="atcoder").update(last_error_at=NOW, last_error="It answered <h1>403</h1>.")
    assert attention(bob) == ["AtCoder cannot be read. It answered <h1>403</h1>."]


def test_schedules_that_do_not_run_need_attention_with_the_reason(bob: Client, settings: Settings) -> None:
    error = "There is no job called “gone.task”."
    Schedule.objects.update(stale_since=None, next_run_at=NOW + timedelta(hours=6))
    Schedule.objects.filter(pk=_key_of("sync-contests")).update(next_run_at=None, error=error)
    Schedule.objects.filter(pk=_key_of("dispatch-notifications")).update(next_run_at=NOW - timedelta(minutes=2))
    PeriodicTask.objects.filter(name="clean-up-data").update(enabled=False, task="gone.task")
    gone, late = attention(bob)
    assert gone == f"The schedule sync-contests does not run. {error}"
    assert late.startswith("The schedule dispatch-notifications does not run. Its time has come and gone")

    settings.SCHEDULING_ENABLED = False
    assert attention(bob)[0].startswith("Scheduling is turned off by SCHEDULING_ENABLED")


def _key_of(name: str) -> int:
    return int(PeriodicTask.objects.get(name=name).pk)


def test_of_very_many_schedules_in_trouble_the_first_page_tells_some_and_leads_to_the_others(bob: Client) -> None:
    crontab = PeriodicTask.objects.get(name="sync-contests").crontab
    PeriodicTask.objects.bulk_create(PeriodicTask(name=f"n{n:02}", task="gone", crontab=crontab) for n in range(30))
    Schedule.objects.update(stale_since=None, next_run_at=NOW - timedelta(hours=1))
    page = Page(bob, HOME)
    assert len(page.texts("#content li")) == 11
    (more,) = [link for link in page.soup.select("#content li a") if "More schedules are late" in link.get_text()]
    assert more["href"] == f"{list_of(PeriodicTask)}?state=late"


def test_failed_and_stuck_notifications_need_attention(bob: Client) -> None:
    NotificationFactory(status=Status.FAILED)
    NotificationFactory(status=Status.FAILED, created_at=NOW - timedelta(hours=25))
    assert attention(bob) == ["1 of the last 24 hours' notifications failed."]

    Notification.objects.all().delete()
    NotificationFactory(available_at=NOW - timedelta(minutes=59))
    assert attention(bob) == []
    NotificationFactory(available_at=NOW - timedelta(minutes=61))
    assert attention(bob) == ["Notifications wait for more than an hour: is a worker running?"]


def test_a_provider_that_is_down_needs_attention_rather_than_what_waits_for_it(bob: Client) -> None:
    NotificationFactory(available_at=NOW - timedelta(hours=2))
    providers.record("email", NOW, error="The <b>mail server</b> refused the connection.")
    assert attention(bob) == [
        "Nothing can be sent by mail at the moment. The <b>mail server</b> refused the connection. "
        "Down since 2026-11-22 12:01 UTC. It is tried again after 12:02:00 UTC."
    ]


def test_what_waits_for_a_channel_that_is_not_set_up_needs_attention(bob: Client) -> None:
    channel = Channel.objects.create(user=MemberFactory(), kind="whatsapp", address="+15550100", verified_at=NOW)
    NotificationFactory(channel=channel, available_at=NOW - timedelta(hours=2))
    assert attention(bob) == ["1 notification waits for WhatsApp , which is not set up."]


def test_the_first_page_shows_platforms_next_runs_and_who_was_told(bob: Client) -> None:
    ContestFactory(starts_at=NOW + timedelta(hours=1))
    ContestFactory(starts_at=NOW - timedelta(hours=1))
    for _ in range(2):
        NotificationFactory(status=Status.SENT, contest=Contest.objects.first())
    NotificationFactory(status=Status.SENT, contest=Contest.objects.first(), created_at=NOW - timedelta(hours=25))
    NotificationFactory(status=Status.FAILED, contest=Contest.objects.first(), kind="moved")
    sync = Schedule.objects.filter(pk=_key_of("sync-contests"))
    sync.update(stale_since=None, next_run_at=NOW + timedelta(hours=6))
    began = {"created_at": NOW - timedelta(minutes=9), "available_at": NOW, "started_at": NOW - timedelta(minutes=8)}
    done = {
        "task": "t",
        "trigger": Trigger.ADMIN,
        "status": RunStatus.SUCCEEDED,
        "finished_at": NOW - timedelta(minutes=7),
    }
    Run.objects.create(schedule=sync.get(), **began, **done)
    rows = [
        [" ".join(cell.get_text(" ").split()) for cell in row.select("td")]
        for row in Page(bob, HOME).soup.select("#content tbody tr")
    ]
    assert ["Codeforces", "reading", "1", "2026-11-22 11:01 UTC"] in rows
    last_run = "succeeded 1 min 0 s 7 minutes ago"
    assert ["sync-contests", "on", "Every 6 hours (UTC)", "2026-11-22 18:01 UTC", last_run] in rows
    assert ["reminder", "0", "0", "2", "0", "0", "0"] in rows
    assert ["moved", "0", "0", "0", "1", "0", "0"] in rows
    assert "digest" not in {row[0] for row in rows}
    assert ["mail", "never used", "0", "–", "–"] in rows
    assert ["WhatsApp", "not set up", "0", "–", "–"] in rows


def test_the_first_page_shows_each_the_parts_that_they_may_see(client: Client) -> None:
    client.force_login(staff_with("view_platform"))
    assert Page(client, HOME).texts("section h2") == ["Platforms"]


def test_the_first_page_takes_a_few_queries_however_much_there_is(bob: Client) -> None:
    some_of_everything()
    queries_of(Page, bob, HOME)
    few = queries_of(Page, bob, HOME)
    for number in range(5):
        some_of_everything()
        PeriodicTask.objects.create(name=str(number), task="gone", crontab=PeriodicTask.objects.all()[0].crontab)
    assert queries_of(Page, bob, HOME) == few <= 18


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_no_list_takes_more_queries_for_more_rows(bob: Client, model: Any) -> None:
    def more(number: int) -> None:
        some_of_everything()
        EmailAddress.objects.create(user=UserFactory(), email=f"{number}@example.com")
        Group.objects.create(name=str(number))

    more(0)
    queries_of(Page, bob, list_of(model))
    few = queries_of(Page, bob, list_of(model))
    for number in range(1, 4):
        more(number)
    assert queries_of(Page, bob, list_of(model)) == few <= 10


@pytest.fixture
def alice() -> User:
    return MemberFactory(username="alice", email="alice@example.org")


def tell(user: User, times: int) -> None:
    for _ in range(times):
        NotificationFactory(channel=user.channels.get())


def test_an_account_is_deleted_with_all_that_belongs_to_it_after_being_asked(bob: Client, alice: User) -> None:
    charlie = MemberFactory()
    tell(alice, 3)
    tell(charlie, 1)
    path = f"{USERS}{alice.pk}/delete/"
    page = Page(bob, path)
    for count in ("Users: 1", "Preferences: 1", "Channels: 1", "Notifications: 3", "Email addresses: 1"):
        assert count in page.text
    assert page.text.count("reminder of") == 0

    bob.post(path, {"post": "yes"})
    assert not User.objects.filter(pk=alice.pk).exists()
    assert not Channel.objects.filter(address="alice@example.org").exists()
    assert [each.channel.user for each in Notification.objects.all()] == [charlie]
    assert Contest.objects.count() == 4


def test_several_accounts_are_deleted_at_once(bob: Client, alice: User) -> None:
    charlie = MemberFactory()
    tell(alice, 1)
    tell(charlie, 1)
    asked = act(bob, USERS, "delete_selected", alice.pk, charlie.pk)
    assert "Notifications: 2" in asked.text
    data = {"action": "delete_selected", "_selected_action": [alice.pk, charlie.pk], "post": "yes"}
    bob.post(USERS, data)
    assert [user.username for user in User.objects.all()] == ["bob"]
    assert not Notification.objects.exists()


def test_who_may_delete_accounts_needs_no_right_on_what_goes_with_them(client: Client, alice: User) -> None:
    tell(alice, 1)
    client.force_login(staff_with("view_user", "delete_user"))
    client.post(f"{USERS}{alice.pk}/delete/", {"post": "yes"})
    assert not User.objects.filter(pk=alice.pk).exists()


def test_the_question_takes_as_few_queries_for_much_as_for_little(bob: Client, alice: User) -> None:
    path = f"{USERS}{alice.pk}/delete/"
    tell(alice, 1)
    queries_of(Page, bob, path)
    few = queries_of(Page, bob, path)
    tell(alice, 10)
    assert queries_of(Page, bob, path) == few


def test_the_list_of_users_says_who_is_staff(bob: Client, alice: User) -> None:
    UserFactory(username="charlie", is_staff=True)
    page = Page(bob, USERS)
    roles = {name: page.row(name)["role"] for name in ("alice", "bob", "charlie")}
    assert roles == {"alice": "member", "bob": "superuser", "charlie": "staff"}
    assert Page(bob, f"{USERS}?q=alice@").rows == 1


def test_the_page_of_a_user_leads_to_their_reminders(bob: Client, alice: User) -> None:
    tell(alice, 1)
    MemberFactory()
    links = Page(bob, page_of(alice)).soup.select(".readonly a.text-link")
    assert [link.get_text() for link in links] == ["Preferences", "Channels", "Notifications"]
    for link in links:
        assert Page(bob, str(link["href"])).rows == 1


def test_a_user_is_made_and_given_permissions(bob: Client) -> None:
    secret = "correct horse battery"
    page = Page(bob, f"{USERS}add/").submit(username="dora", password1=secret, password2=secret)
    assert "was added successfully" in page.messages[0]
    dora = User.objects.get(username="dora")
    assert Preference.objects.filter(user=dora).exists()
    group = Group.objects.create(name="Helpers")
    Page(bob, page_of(dora)).submit(is_staff="on", groups=[str(group.pk)], email="dora@example.org")
    dora.refresh_from_db()
    assert (dora.is_staff, dora.email, list(dora.groups.all())) == (True, "dora@example.org", [group])


def test_staff_sign_in_by_user_name_or_address(client: Client) -> None:
    bob = StaffFactory(username="bob", email="bob@example.org")
    for name in ("bob", "bob@example.org"):
        client.logout()
        page = Page(client, "/admin/login/?next=/admin/")
        assert "Username" in page.text
        client.post("/admin/login/?next=/admin/", {"username": name, "password": "correct horse"})
        assert client.session.get("_auth_user_id") == str(bob.pk)


def test_an_address_is_marked_as_verified_and_gets_reminders(bob: Client) -> None:
    alice = MemberFactory(verified=False)
    address = EmailAddress.objects.create(user=alice, email="alice@example.org", primary=True)
    assert not alice.channels.exists()
    act(bob, ADDRESSES, "make_verified", address.pk)
    assert EmailAddress.objects.get(pk=address.pk).verified
    assert alice.channels.get().verified_at == NOW


def test_who_may_only_look_marks_no_address_as_verified(client: Client) -> None:
    address = EmailAddress.objects.create(user=MemberFactory(verified=False), email="alice@example.org")
    client.force_login(staff_with("view_emailaddress"))
    act(client, ADDRESSES, "make_verified", address.pk)
    assert not EmailAddress.objects.get(pk=address.pk).verified


def test_addresses_are_not_edited_by_hand_for_reminders_would_not_follow(bob: Client, alice: User) -> None:
    address = EmailAddress.objects.get(user=alice)
    assert bob.post(page_of(address), {"email": "eve@example.org"}).status_code == 403
    assert bob.get(f"{ADDRESSES}add/").status_code == 403
    assert bob.get(f"{ADDRESSES}{address.pk}/delete/").status_code == 403


@pytest.mark.parametrize("member_zone", ["UTC", "Asia/Kolkata"])
def test_staff_read_times_in_utc_wherever_they_are(client: Client, member_zone: str) -> None:
    client.force_login(StaffFactory(preference__time_zone=member_zone))
    ContestFactory(name="Round 1", starts_at=NOW)
    assert Page(client, list_of(Contest)).row("Round 1")["starts at"] == "2026-11-22 12:01 UTC"


def test_the_admin_has_the_sites_icon_and_its_style_is_found(bob: Client) -> None:
    page = Page(bob, HOME)
    files = [str(link["href"]) for link in page.soup.select("link[rel=icon], link[href*='admin.css']")]
    assert sorted(files) == ["/static/admin.css", "/static/favicon.svg"]
    get: Callable[[str], Any] = bob.get
    assert all(get(file).status_code == 200 for file in files)
