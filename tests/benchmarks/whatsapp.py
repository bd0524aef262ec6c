"""WhatsApp for 5,000 members, whose reminders leave with all that belongs to it, against a bare pool of requests."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import requests
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone
from requests.adapters import HTTPAdapter

from notifications import callbacks
from notifications.channels.whatsapp import WhatsApp
from notifications.channels.whatsapp.webhook import reports
from notifications.delivery import deliver
from notifications.models import Channel, Notification, Status
from notifications.planning import plan
from tests.benchmarks.__main__ import measure, say
from tests.factories import ContestFactory, make_members
from tests.whatsapp import Graph, elsewhere, sign

MEMBERS, IN_ONE_BODY = 5_000, 1_000


def run() -> None:
    make_members(MEMBERS)
    now = timezone.now()
    Channel.objects.all().delete()
    users = list(User.objects.order_by("pk"))
    Channel.objects.bulk_create(
        Channel(user=user, kind=WhatsApp.kind, address=f"+1650{number:07}", verified_at=now)
        for number, user in enumerate(users)
    )
    ContestFactory(starts_at=now + timedelta(hours=12))
    plan(now, now)
    with elsewhere() as found:
        for name, value in found.items():
            setattr(settings, name, value)
        url = f"{settings.WHATSAPP_URL}/{settings.WHATSAPP_PHONE_NUMBER_ID}/messages"
        ours, bares = [], []
        for _ in range(2):
            bares.append(measure(lambda: None, lambda: post_all(url)))
            ours.append(measure(due_again, lambda: deliver(WhatsApp.kind)))
    assert Notification.objects.filter(status=Status.SENT).count() == MEMBERS
    say(
        "reminders by WhatsApp / a bare pool of requests",
        min(bares) / min(ours),
        "≥ 0.8",
        f"{MEMBERS / min(ours):,.0f} a second / {MEMBERS / min(bares):,.0f}",
    )
    bodies = callback_bodies()
    seconds = measure(lambda: None, lambda: hear(bodies))
    assert not Notification.objects.filter(delivered_at=None).exists()
    print(f"callbacks: {MEMBERS / seconds:,.0f} reports a second, {IN_ONE_BODY:,} in a body")


def due_again() -> None:
    Notification.objects.update(status=Status.PENDING, message=None, sent_at=None, available_at=timezone.now())


def post_all(url: str) -> None:
    """What the bare transport costs: the same number of requests of the same size, over as many connections."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=WhatsApp.concurrency))
    body = {"type": "text", "text": "Round 1000 starts Sun 22 Nov 15:35"}
    template = {
        "name": "contest_reminder",
        "language": {"policy": "deterministic", "code": "en"},
        "components": [
            {"type": "body", "parameters": [body, {**body, "text": "x" * 100}]},
            {"type": "button", "sub_type": "url", "index": "0", "parameters": [{**body, "text": "preferences/"}]},
        ],
    }
    headers = {"Authorization": f"Bearer {settings.WHATSAPP_TOKEN}"}

    def post(number: int) -> None:
        message: dict[str, Any] = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": f"1650{number:07}",
            "type": "template",
            "template": template,
            "biz_opaque_callback_data": str(uuid4()),
        }
        session.post(url, json=message, headers=headers, timeout=10).raise_for_status()

    with session, ThreadPoolExecutor(WhatsApp.concurrency) as pool:
        list(pool.map(post, range(MEMBERS)))


def callback_bodies() -> list[bytes]:
    messages = list(Notification.objects.values_list("message", flat=True))
    with Graph() as graph:
        return [
            graph.callback(*(graph.report(str(each), "delivered") for each in messages[first : first + IN_ONE_BODY]))
            for first in range(0, MEMBERS, IN_ONE_BODY)
        ]


def hear(bodies: list[bytes]) -> None:
    now = timezone.now()
    for body in bodies:
        callbacks.record(WhatsApp.kind, reports(body, sign(body), now), now)
