"""The outbox, where there is no mail server: Bob is staff and reads it, Alice is a member and must see nothing."""

import os
from pathlib import Path

import pytest
from django.core.mail import EmailMultiAlternatives
from django.test import Client
from pytest_django import Settings

from config import outbox
from tests.factories import MemberFactory
from tests.pages import read, soup, text

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def directory(settings: Settings, tmp_path: Path) -> Path:
    settings.EMAIL_BACKEND = "config.outbox.EmailBackend"
    settings.EMAIL_OUTBOX = tmp_path / "outbox"
    return tmp_path / "outbox"


def send(subject: str = "Round 1 starts", html: str = "<html><head></head><p>Hi</p></html>", body: str = "Hi") -> str:
    """The name under which it is kept."""
    before = {mail.name for mail in outbox.newest(1000)}
    message = EmailMultiAlternatives(subject, body, to=["alice@example.org"])
    if html:
        message.attach_alternative(html, "text/html")
    message.send()
    (name,) = {mail.name for mail in outbox.newest(1000)} - before
    return name


def test_a_mail_is_kept_as_a_file_that_a_mail_program_opens(directory: Path) -> None:
    name = send("Grüße: 第七回")
    content = (directory / f"{name}.eml").read_bytes()
    assert b"\r\n" in content
    mail = outbox.read(name)
    assert mail is not None
    assert mail.message["Subject"] == "Grüße: 第七回"
    assert (mail.body("plain").strip(), "<p>Hi</p>" in mail.body("html")) == ("Hi", True)
    assert mail.sent_at.strftime("%Y%m%d-%H%M%S") == name[:15]


def test_staff_see_the_newest_mails_first(bob: Client, directory: Path) -> None:
    content = (directory / f"{send('The newest')}.eml").read_bytes()
    for day in range(1, 29):
        for hour in range(4):
            old = content.replace(b"The newest", f"Mail {day} {hour}".encode())
            (directory / f"202001{day:02}-{hour:02}0000-00000000.eml").write_bytes(old)
    links = read(bob, "/outbox/").select(".mails a")
    subjects = [link.get_text() for link in links]
    assert subjects[:3] == ["The newest", "Mail 28 3", "Mail 28 2"]
    assert len(subjects) == 100
    assert text(bob.get(str(links[0]["href"]))).count("The newest") >= 1


def test_what_is_no_mail_is_left_out(bob: Client, directory: Path) -> None:
    directory.mkdir()
    for name in ("20200101-000000-00000000.part", "notes.eml", "20200101-000000-0000000g.eml"):
        (directory / name).write_text("Subject: no")
    assert outbox.newest(10) == []
    assert "No mail yet." in text(bob.get("/outbox/"))


def test_an_outbox_that_nothing_was_ever_put_into_is_empty(bob: Client) -> None:
    assert "No mail yet." in text(bob.get("/outbox/"))


def test_a_mail_is_shown_with_its_headers_and_its_text_with_links(bob: Client) -> None:
    page = bob.get(f"/outbox/{send(body='<b>Go</b> to https://example.org/x')}/")
    assert "alice@example.org" in text(page)
    pre = soup(page).select_one("pre")
    assert pre is not None
    assert pre.get_text().strip() == "<b>Go</b> to https://example.org/x"
    assert pre.select_one("a")["href"] == "https://example.org/x"  # type: ignore[index]
    frame = soup(page).select_one("iframe")
    assert frame is not None
    assert "allow-scripts" not in frame["sandbox"]
    assert "allow-same-origin" not in frame["sandbox"]


def test_the_html_of_a_mail_can_do_nothing_but_look(bob: Client) -> None:
    name = send(html="<html><head></head><script>alert(1)</script><p>Hi</p></html>")
    response = bob.get(f"/outbox/{name}/html/")
    policy = dict(part.strip().partition(" ")[::2] for part in response.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert "script-src" not in policy
    assert policy["frame-ancestors"] == "'self'"
    assert "allow-scripts" not in policy["sandbox"]
    assert response.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert '<base target="_blank">' in response.content.decode()


def test_a_mail_without_html_shows_no_frame(bob: Client) -> None:
    assert b"<iframe" not in bob.get(f"/outbox/{send(html='')}/").content


def paths() -> list[str]:
    name = send()
    return ["/outbox/", f"/outbox/{name}/", f"/outbox/{name}/html/"]


def test_members_are_told_that_there_is_no_such_page(client: Client) -> None:
    client.force_login(MemberFactory())
    assert [client.get(path).status_code for path in paths()] == [404] * 3


def test_who_waits_for_a_mail_is_led_to_the_outbox_unless_they_may_not_see_it(client: Client) -> None:
    hint = "/accounts/confirm-email/"
    assert 'href="/outbox/"' in client.get(hint).content.decode()
    client.force_login(MemberFactory())
    page = client.get(hint)
    assert "has no mail server" in text(page)
    assert 'href="/outbox/"' not in page.content.decode()


def test_strangers_are_asked_to_sign_in(client: Client) -> None:
    for path in paths():
        response = client.get(path)
        assert (response.status_code, response.headers["Location"]) == (302, f"/accounts/login/?next={path}")


def test_where_mail_goes_to_a_server_there_is_no_outbox(bob: Client, settings: Settings) -> None:
    found = paths()
    assert "/outbox/" in bob.get("/").content.decode()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    assert [bob.get(path).status_code for path in found] == [404] * 3
    assert "/outbox/" not in bob.get("/").content.decode()


@pytest.mark.parametrize(
    "name", ["..%2Fsecret-key", "%2e%2e/secret-key", "20200101-000000-00000000%0a", "x", "20200101-000000-0000000١"]
)
def test_only_mails_can_be_read(bob: Client, directory: Path, name: str) -> None:
    directory.mkdir()
    (directory.parent / "secret-key.eml").write_text("Subject: secret")
    assert bob.get(f"/outbox/{name}/").status_code == 404


def test_no_other_file_is_read_whatever_its_name(directory: Path) -> None:
    directory.mkdir()
    (directory.parent / "secret-key.eml").write_text("Subject: secret")
    (directory / "x.eml").write_text("Subject: secret")
    assert [outbox.read(name) for name in ("../secret-key", "x", "", "20200101-000000-00000000")] == [None] * 4


def test_a_mail_that_goes_while_the_list_is_made_is_left_out(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = send()
    listed = list(os.scandir(directory))
    monkeypatch.setattr(os, "scandir", lambda path: listed)
    (directory / f"{name}.eml").unlink()
    assert outbox.newest(10) == []
