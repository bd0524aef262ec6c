"""What an account's life means for its reminders: made, verified, changed, signed in."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed, email_removed, user_signed_up
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from django.db.models.signals import post_save
from django.http import HttpRequest
from django.utils import timezone

from notifications.channels.email import Email
from notifications.middleware import browser_zone
from notifications.models import Channel, Preference


def connect() -> None:
    post_save.connect(make_preference, sender=User)
    user_signed_up.connect(take_zone_of_browser)
    user_logged_in.connect(welcome_back)
    email_confirmed.connect(follow_verified_address)
    email_removed.connect(forget_address)


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
    """Reminders go to the address that was verified last.

    The channel goes along with it, for it knows what the member was told already: a new one would tell it all again.
    """
    user, address = email_address.user, email_address.email
    channels = Channel.objects.filter(user=user, kind=Email.kind)
    others = list(channels.exclude(address=address).order_by("pk").select_for_update())
    if others and not channels.filter(address=address).exists():
        nothing_yet = {"last_sent_at": None, "last_error_at": None, "last_error": ""}
        channels.filter(pk=others[0].pk).update(address=address, **nothing_yet)
    Channel.objects.update_or_create(
        user=user,
        kind=Email.kind,
        address=address,
        defaults={"verified_at": timezone.now(), "disabled_at": None, "disabled_reason": ""},
    )
    channels.exclude(address=address).delete()


def forget_address(user: User, email_address: EmailAddress, **_: Any) -> None:
    Channel.objects.filter(user=user, kind=Email.kind, address=email_address.email).delete()
