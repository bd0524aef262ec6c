"""Showing that a telephone number is one's own: a code is sent there and typed here."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from notifications import providers
from notifications.channels import CHANNELS
from notifications.channels.base import DeliveryError, Message, OutcomeUnknown, ProviderDown
from notifications.models import Channel, Verification

DIGITS = 6
VALID_FOR = timedelta(minutes=10)
MOST_TRIES = 5
MOST_CODES = 3
WITHIN = timedelta(hours=1)
"""At most so many codes for one member, to one number and from one internet address."""


class NotSent(Exception):
    """No code was sent. `str(error)` says why, in a sentence."""


class TooMany(NotSent):
    """There were enough for now."""


class NotVerified(Exception):
    """The code does not count. `str(error)` says why, in a sentence."""


@dataclass(frozen=True, slots=True)
class Limit:
    same: Q
    sentence: str


def send_code(user: User, kind: str, address: str, requested_from: str | None) -> Verification:
    """Send a code to the address. Raises NotSent.

    `requested_from` is the internet address that asks. Every code is a row before it is sent, so that the limits hold
    across processes.
    """
    now = timezone.now()
    if Channel.objects.usable().filter(user=user, kind=kind, address=address).exists():
        raise NotSent("You have added this number already.")
    allowed, _ = providers.let_through(kind, 1, now)
    if not allowed:
        raise NotSent(f"{CHANNELS[kind].title} takes no messages at the moment: try again in a few minutes.")
    code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    verification = _make(user, kind, address, requested_from, code, now)
    try:
        _send(verification, code)
    except OutcomeUnknown as error:
        Verification.objects.filter(pk=verification.pk).update(error=str(error))
    except ProviderDown as error:
        # It is none of the three codes. That the provider is down is for a delivery to find out: by asking for codes
        # that cannot be sent, as their template is missing, a member would stop everybody's reminders.
        verification.delete()
        raise NotSent(f"The code could not be sent. {error}.") from error
    except DeliveryError as error:
        raise NotSent(f"The code could not be sent. {error}.") from error
    return verification


@transaction.atomic
def _make(user: User, kind: str, address: str, requested_from: str | None, code: str, now: datetime) -> Verification:
    with connection.cursor() as cursor:  # so that nobody counts while another one adds
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('notifications_verification'))")
    limits = [
        Limit(Q(user=user), "You have asked for {count} codes within an hour."),
        Limit(Q(kind=kind, address=address), "{count} codes were sent to this number within an hour."),
    ]
    if requested_from:
        limits.append(
            Limit(Q(requested_from=requested_from), "{count} codes were asked for from your network within an hour.")
        )
    for limit in limits:
        _hold(limit, now)
    pk = uuid4()
    return Verification.objects.create(
        pk=pk,
        user=user,
        kind=kind,
        address=address,
        requested_from=requested_from,
        code=_hashed(str(pk), code),
        created_at=now,
    )


def _hold(limit: Limit, now: datetime) -> None:
    recent = Verification.objects.filter(limit.same, created_at__gt=now - WITHIN).order_by("-created_at")
    for first_that_counts in recent[MOST_CODES - 1 : MOST_CODES]:
        minutes = ceil((first_that_counts.created_at + WITHIN - now) / timedelta(minutes=1))
        unit = "minute" if minutes == 1 else "minutes"
        raise TooMany(f"{limit.sentence.format(count=MOST_CODES)} The next one can be sent in {minutes} {unit}.")


def _send(verification: Verification, code: str) -> None:
    with CHANNELS[verification.kind]() as channel:
        channel.send(
            Message(
                id=verification.pk,
                address=verification.address,
                purpose="verification",
                subject="Your code for CodeNotify",
                text=code,
                expires_at=verification.created_at + VALID_FOR,
            )
        )


def verify(verification: Verification, code: str) -> Channel:
    """Make the number a channel of its member's, if that is the code. Raises NotVerified.

    A try is counted before the code is looked at, so that many at once are no more than the limit.
    """
    assert verification.user is not None
    now = timezone.now()
    rows = Verification.objects.filter(pk=verification.pk, verified_at=None)
    if verification.created_at <= now - VALID_FOR:
        raise NotVerified("The code is older than 10 minutes: ask for another one.")
    if not rows.filter(tries__lt=MOST_TRIES).update(tries=F("tries") + 1):
        raise NotVerified("This code cannot be used any more: ask for another one.")
    if not constant_time_compare(_hashed(str(verification.pk), code), verification.code):
        verification.refresh_from_db(fields=["tries"])
        raise NotVerified(_not_the_code(MOST_TRIES - verification.tries))
    with transaction.atomic():
        if not rows.update(verified_at=now):
            raise NotVerified("This code was used already.")
        return Channel.objects.verify(verification.user, verification.kind, verification.address)


def _not_the_code(left: int) -> str:
    if left <= 0:
        return "That is not the code, and there are no tries left: ask for another one."
    return f"That is not the code: {left} {'try is' if left == 1 else 'tries are'} left."


def _hashed(salt: str, code: str) -> str:
    """With the site's secret: a million codes are tried in no time by whoever has nothing but the table."""
    return salted_hmac(f"notifications.verification:{salt}", code, algorithm="sha256").hexdigest()
