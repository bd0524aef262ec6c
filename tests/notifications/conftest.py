from collections.abc import Iterator
from datetime import datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from notifications.models import Channel
from tests.push_service import PushService, base64url


@pytest.fixture
def now() -> datetime:
    """The minute that the clock shows."""
    return timezone.now().replace(second=0, microsecond=0)


@pytest.fixture
def mail(alice: User) -> Channel:
    return alice.channels.get()


@pytest.fixture
def service(settings: Settings) -> Iterator[PushService]:
    """A push service that this test's messages go to, signed with a key of our own."""
    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    settings.VAPID_PRIVATE_KEY = base64url(number.to_bytes(32))
    with PushService() as service:
        settings.PUSH_TRUSTED_ORIGINS = [service.origin]
        yield service
