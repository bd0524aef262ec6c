import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine
from aiosmtpd.controller import Controller
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, sync_playwright
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from config import database
from config.database import embedded
from config.demo.server import WorldServer
from config.demo.world import World
from config.management import command
from contests.platforms import PLATFORMS
from tests.chromium import CHROMIUM, FLAGS, WIDE, Open, sign_in
from tests.factories import MemberFactory, StaffFactory
from tests.installation import Installation
from tests.smtp import Inbox, free_port
from tests.whatsapp import Graph


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> None:
    """Start the embedded server: the test database is made over a connection that does not start it by itself."""
    database.ensure_running()


@pytest.fixture
def stopped_clock(request: pytest.FixtureRequest) -> Iterator[None]:
    """The clock stands still at the NOW of the test's module."""
    with time_machine.travel(request.module.NOW, tick=False):
        yield


@pytest.fixture
def database_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking whether it can be reached takes a connection each time."""
    monkeypatch.setattr(command, "require_database", lambda: None)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What a command prints, its white space made one space each."""

    def run(name: str, *arguments: str) -> str:
        capsys.readouterr()
        call_command(name, *arguments)
        return re.sub(r"\s+", " ", capsys.readouterr().out)

    return run


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # playwright keeps an event loop in this thread
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, live_server: LiveServer, no_limits_reached: None) -> Iterator[Open]:
    """Opens a page in a new browser profile. No page may make its console complain, but of being missing itself."""
    contexts = []
    said: list[tuple[str, str]] = []
    missing: set[str] = set()

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            said.append((message.text, message.location["url"]))

    def look(response: Response) -> None:
        if response.status == 404 and response.request.is_navigation_request():
            missing.add(response.url)

    def visit(
        path: str = "/",
        width: int = WIDE,
        *,
        member: User | None = None,
        zone: str = "UTC",
        scripts: bool = True,
        **options: Any,
    ) -> Page:
        context = browser.new_context(
            base_url=live_server.url,
            viewport={"width": width, "height": 900},
            timezone_id=zone,
            java_script_enabled=scripts,
            **options,
        )
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", hear)
        page.on("pageerror", lambda error: said.append((str(error), page.url)))
        page.on("response", look)
        if member:
            sign_in(page, member.email)
        page.goto(path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert [text for text, address in said if "status of 404" not in text or address not in missing] == []


@pytest.fixture
def no_limits_reached() -> Iterator[None]:
    """Nobody has yet asked for too much from here."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def alice(client: Client) -> User:
    """A member with a mail channel, whom the client is signed in as."""
    member = MemberFactory(username="alice")
    client.force_login(member)
    return member


@pytest.fixture
def bob(client: Client) -> Client:
    """The client, signed in as a member of staff who has no channel."""
    client.force_login(StaffFactory(username="bob", verified=False))
    return client


@pytest.fixture
def world(settings: Settings) -> Iterator[World]:
    """A world of our own that really answers over HTTP, and that the platforms' adapters ask in this test."""
    with WorldServer(World.around(timezone.now())) as server:
        settings.PLATFORM_URLS = {code: server.url_of(code) for code in PLATFORMS}
        yield server.world


@pytest.fixture
def inbox(settings: Settings) -> Iterator[Inbox]:
    """A real SMTP server that this test's mails go to, and what it was given."""
    inbox = Inbox()
    inbox.port = free_port()
    controller = Controller(inbox, hostname="127.0.0.1", port=inbox.port)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", inbox.port
    yield inbox
    controller.stop()


@pytest.fixture
def graph(settings: Settings) -> Iterator[Graph]:
    """A server that behaves as WhatsApp's, and that this test's messages go to."""
    with Graph() as graph:
        for name, value in graph.settings.items():
            setattr(settings, name, value)
        yield graph


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with its tables, shared by the tests of a module."""
    installation = Installation(tmp_path_factory.mktemp("data"))
    migrated = installation.run("migrate", "-v", "0")
    assert migrated.returncode == 0, migrated.stderr
    yield installation
    installation.stop()
    embedded.discard(installation.data_dir)  # a server whose last user was killed waits for another one


@pytest.fixture(scope="module")
def its_world(installation: Installation) -> Iterator[World]:
    """A world of our own, which the installation takes for the platforms."""
    with WorldServer(World.around(timezone.now())) as server:
        for code in PLATFORMS:
            installation.environment[f"{code.upper()}_URL"] = server.url_of(code)
        yield server.world
