"""What an account's life means for its reminders: made, verified, changed, signed in."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed, user_signed_up
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.db import connection, transaction
from django.db.models.signals import post_delete, post_save
from django.http import HttpRequest
from django.utils import timezone

from notifications.channels.email import Email
from notifications.middleware import browser_zone
from notifications.models import Channel, Preference
from notifications.tasks import dispatch_if_urgent


def connect() -> None:
    post_save.connect(make_preference, sender=User)
    user_signed_up.connect(take_zone_of_browser)
    user_logged_in.connect(welcome_back)
    email_confirmed.connect(follow_verified_address)
    post_delete.connect(forget_address, sender=EmailAddress)


def make_preference(instance: User, created: bool, raw: bool, **_: Any) -> None:
    if created and not raw:
        Preference.objects.get_or_create(user=instance)


def take_zone_of_browser(request: HttpRequest, user: User, **_: Any) -> None:
    if zone := browser_zone(request):
        Preference.objects.filter(user=user).update(time_zone=zone.key)


def welcome_back(user: User, **_: Any) -> None:
    """Signing in makes a member active again who had stayed away."""
    Preference.objects.filter(user=user).update(active=True, last_seen_at=timezone.now())


@transaction.atomic
def follow_verified_address(email_address: EmailAddress, **_: Any) -> None:
    """Each address that a member verified is a channel of its own.

    A new one is not told again what another one was told already: who changes their address does not begin anew.
    """
    user, address = email_address.user, email_address.email
    is_known = Channel.objects.filter(user=user, kind=Email.kind, address=address).exists()
    channel = Channel.objects.verify(user, Email.kind, address)
    if not is_known:
        _take_over_what_was_told(channel)
    dispatch_if_urgent()


_TAKE_OVER = """
INSERT INTO notifications_notification (
    channel_id, contest_id, contest_name, kind, lead_minutes, starts_at, was_at, due_at, expires_at,
    created_at, status, attempts, available_at, error, detail
)
SELECT DISTINCT ON (told.contest_id, told.kind, told.lead_minutes, told.starts_at)
    %(channel)s, told.contest_id, told.contest_name, told.kind, told.lead_minutes, told.starts_at, told.was_at,
    told.due_at, told.expires_at, %(now)s, 'expired', 0, told.available_at,
    concat('It was told at ', other.address, ' before this address was there.'), ''
FROM notifications_channel other
JOIN notifications_notification told ON told.channel_id = other.id
WHERE other.user_id = %(user)s
    AND other.kind = %(kind)s
    AND other.id <> %(channel)s
    AND told.contest_id IS NOT NULL
    AND told.status = 'sent'
    AND told.expires_at > %(now)s
ORDER BY told.contest_id, told.kind, told.lead_minutes, told.starts_at, told.sent_at DESC
ON CONFLICT DO NOTHING  -- who clicks twice confirms twice
"""


def _take_over_what_was_told(channel: Channel) -> None:
    values: dict[str, Any] = {
        "channel": channel.pk,
        "user": channel.user_id,
        "kind": channel.kind,
        "now": timezone.now(),
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_OVER, values)


def forget_address(instance: EmailAddress, **_: Any) -> None:
    """An address that is the account's no more, whoever took it away, is written to no more."""
    Channel.objects.filter(user=instance.user_id, kind=Email.kind, address=instance.email).remove()
