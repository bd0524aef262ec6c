"""Push to 5,000 browsers, encrypted and signed, against a bare pool of requests that posts what is ready-made."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import requests
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone
from requests.adapters import HTTPAdapter

from notifications.channels.base import Message
from notifications.channels.push import Push
from notifications.claiming import claim
from notifications.delivery import deliver
from notifications.messages import Renderer
from notifications.models import Channel, Notification, Status
from notifications.planning import plan
from tests.benchmarks.__main__ import measure, say
from tests.benchmarks.taking import taking_everything
from tests.factories import ContestFactory, make_members
from tests.push_service import Browser, base64url

MEMBERS, ROUNDS = 5_000, 3
BODY = os.urandom(600)
"""As long as a reminder is when it is encrypted."""


def run() -> None:
    with taking_everything() as origin:
        prepare(origin)
        messages = rendered()
        bares, sent, delivered = [], [], []
        for _ in range(ROUNDS):
            bares.append(measure(lambda: None, lambda: post_all(origin)))
            sent.append(measure(lambda: None, lambda: send_all(messages)))
            delivered.append(measure(due_again, lambda: deliver(Push.kind)))
    assert Notification.objects.filter(status=Status.SENT).count() == MEMBERS
    bare = min(bares)
    for what, ours in (("messages by the channel alone", min(sent)), ("reminders by push", min(delivered))):
        detail = f"{MEMBERS / ours:,.0f} a second / {MEMBERS / bare:,.0f}"
        say(f"{what} / a bare pool of requests", bare / ours, "≥ 0.8", detail)


def rendered() -> Sequence[Message]:
    letters = claim(Push.kind, uuid4(), MEMBERS)
    renderer = Renderer()
    return [message for letter in letters if (message := renderer.message(letter))]


def send_all(messages: Sequence[Message]) -> None:
    with Push() as push, ThreadPoolExecutor(push.concurrency) as pool:
        list(pool.map(push.send, messages))


def prepare(origin: str) -> None:
    settings.PUSH_TRUSTED_ORIGINS = [origin]
    settings.VAPID_PRIVATE_KEY = base64url(
        ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(32)
    )
    make_members(MEMBERS)
    now = timezone.now()
    Channel.objects.all().delete()
    Channel.objects.bulk_create(
        Channel(user=user, kind=Push.kind, address=browser.endpoint, keys=browser.keys, verified_at=now)
        for user in User.objects.order_by("pk")
        for browser in [Browser(f"{origin}/push/{user.pk}")]
    )
    ContestFactory(starts_at=now + timedelta(hours=12))
    plan(now, now)


def due_again() -> None:
    Notification.objects.update(status=Status.PENDING, message=None, sent_at=None, available_at=timezone.now())


def post_all(origin: str) -> None:
    """What the bare transport costs: the same number of requests of the same size, over as many connections."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=Push.concurrency))
    headers = {"TTL": "3600", "Urgency": "normal", "Topic": "contest-1", "Content-Encoding": "aes128gcm"}
    headers["Authorization"] = f"vapid t={'x' * 300}, k={'x' * 87}"

    def post(number: int) -> None:
        session.post(f"{origin}/push/{number}", data=BODY, headers=headers, timeout=10).raise_for_status()

    with session, ThreadPoolExecutor(Push.concurrency) as pool:
        list(pool.map(post, range(MEMBERS)))
