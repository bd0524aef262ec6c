import os
from collections.abc import Iterator

import pytest
import time_machine
from aiosmtpd.controller import Controller
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, sync_playwright
from pytest_django import Settings

from config import database
from config.database import embedded
from config.demo.server import WorldServer
from config.demo.world import World
from contests.platforms import PLATFORMS
from tests.chromium import CHROMIUM, FLAGS
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # playwright keeps an event loop in this thread
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


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
