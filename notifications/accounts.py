"""What an account's life means for its reminders: made, verified, changed, signed in."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import email_changed, email_confirmed, email_removed, user_signed_up
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
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
    email_confirmed.connect(verify_channel)
    email_changed.connect(follow_new_address)
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


def verify_channel(email_address: EmailAddress, **_: Any) -> None:
    now = timezone.now()
    Channel.objects.update_or_create(
        user=email_address.user,
        kind=Email.kind,
        address=email_address.email,
        defaults={"verified_at": now, "disabled_at": None, "disabled_reason": ""},
    )


def follow_new_address(user: User, to_email_address: EmailAddress, **_: Any) -> None:
    """The account's address is the one that reminders go to: any other is forgotten."""
    Channel.objects.filter(user=user, kind=Email.kind).exclude(address=to_email_address.email).delete()


def forget_address(user: User, email_address: EmailAddress, **_: Any) -> None:
    Channel.objects.filter(user=user, kind=Email.kind, address=email_address.email).delete()
