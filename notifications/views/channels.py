"""Where a member is reached: every channel with how it does, what each is for, and ways to add more."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.account.views import EmailView
from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse, reverse_lazy
from django.utils import timezone

from notifications.addresses import AddressForm
from notifications.channels import CHANNELS
from notifications.channels.email import Email
from notifications.channels.whatsapp import WhatsApp
from notifications.models import OPEN_STATUSES, Channel, Notification, Purpose
from notifications.tasks import dispatch_if_urgent, dispatch_soon
from notifications.trial import NotTested, ask_for_test, last_tests
from notifications.views.numbers import NumberForm, region_of
from notifications.views.visitor import member, sent_by_member

TEST_SHOWN = timedelta(days=1)
"""For so long the page says what became of a test."""

TEST_WATCHED = timedelta(minutes=2)
"""For so long it looks by itself."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A channel as its card shows it. `is_account` is the address that stands for the account: it cannot be removed."""

    channel: Channel
    is_account: bool
    can_be_account: bool
    test: Notification | None
    is_test_watched: bool

    @property
    def is_on_its_way(self) -> bool:
        return self.test is not None and self.test.status in OPEN_STATUSES


@dataclass(frozen=True, slots=True)
class Section:
    """The channels of a kind. `fragment` is the template by which one more is added."""

    kind: str
    title: str
    is_offered: bool
    entries: list[Entry]

    @property
    def fragment(self) -> str:
        return f"notifications/add_{self.kind}.html"


class ChannelsView(EmailView):
    """The page, and with allauth's own way of adding and confirming addresses what is done to those on it."""

    template_name = "notifications/channels.html"
    form_class = AddressForm
    success_url = reverse_lazy("channels")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        user, now = member(self.request), timezone.now()
        channels = list(user.channels.kept())
        addresses = {address.email: address for address in context["emailaddresses"]}
        context |= {
            "channels": channels,
            "sections": _sections(channels, addresses, now),
            "purposes": Purpose,
            "unconfirmed": [address for address in addresses.values() if not address.verified],
        }
        if WhatsApp.is_configured():
            context["number_form"] = NumberForm(region=region_of(timezone.get_current_timezone_name()))
        return context


def _sections(channels: list[Channel], addresses: dict[str, EmailAddress], now: datetime) -> list[Section]:
    tests = last_tests(channels, now - TEST_SHOWN)

    def entry(channel: Channel) -> Entry:
        address = addresses.get(channel.address) if channel.kind == Email.kind else None
        test = tests.get(channel.pk)
        return Entry(
            channel=channel,
            is_account=bool(address and address.primary),
            can_be_account=bool(address and address.verified and not address.primary),
            test=test,
            is_test_watched=bool(
                test and test.status in OPEN_STATUSES and not test.error and test.created_at > now - TEST_WATCHED
            ),
        )

    return [
        Section(
            kind, known.title, known.is_configured(), [entry(channel) for channel in channels if channel.kind == kind]
        )
        for kind, known in CHANNELS.items()
    ]


@sent_by_member
def choose_purposes(request: HttpRequest) -> HttpResponse:
    """Take what the table says of the channels that are in it."""
    listed = set(request.POST.getlist("channel"))
    for channel in member(request).channels.kept():
        chosen = request.POST.getlist(f"purposes-{channel.pk}")
        purposes = [purpose for purpose in Purpose.values if purpose in chosen]
        if str(channel.pk) in listed and purposes != channel.purposes:
            Channel.objects.filter(pk=channel.pk).update(purposes=purposes)
    dispatch_if_urgent()
    messages.success(request, "Saved.")
    return redirect("channels")


@sent_by_member
def name_channel(request: HttpRequest, channel: int) -> HttpResponse:
    found = _own(member(request), channel)
    try:
        label = forms.CharField(max_length=100, required=False).clean(request.POST.get("label", ""))
    except ValidationError as error:
        messages.error(request, f"The name is not changed. {' '.join(error.messages)}")
    else:
        Channel.objects.filter(pk=found.pk).update(label=" ".join(label.split()))
    return _back_to(found)


@sent_by_member
def enable_channel(request: HttpRequest, channel: int) -> HttpResponse:
    """Take back that a channel was turned off, whoever did it."""
    found = _own(member(request), channel)
    if found.is_gone:
        messages.error(request, f"{found.name} can only be turned on where it is, in that browser.")
        return _back_to(found)
    Channel.objects.filter(pk=found.pk).update(disabled_at=None, disabled_reason="")
    dispatch_if_urgent()
    messages.success(request, f"{found.name} is on again.")
    return _back_to(found)


@sent_by_member
def send_test(request: HttpRequest, channel: int) -> HttpResponse:
    """Ask for a message to this channel, by the way that all of them go."""
    found = _own(member(request), channel)
    try:
        ask_for_test(found.pk, timezone.now())
    except NotTested as error:
        messages.error(request, str(error))
    else:
        dispatch_soon()
    return _back_to(found)


@sent_by_member
def remove_channel(request: HttpRequest, channel: int) -> HttpResponse:
    """Of a mail address, with the address itself: what it confirmed is no more."""
    user = member(request)
    found = _own(user, channel)
    address = EmailAddress.objects.filter(user=user, email=found.address).first() if found.kind == Email.kind else None
    if address and not get_adapter().can_delete_email(address):
        messages.error(request, f"{address.email} stands for your account: let another address do that first.")
        return _back_to(found)
    if address:
        address.remove()
    Channel.objects.filter(pk=found.pk).remove()
    messages.success(request, f"{found.name} is removed: nothing is sent there any more.")
    return redirect("channels")


def _own(user: User, channel: int) -> Channel:
    return get_object_or_404(user.channels.kept(), pk=channel)


def _back_to(channel: Channel) -> HttpResponse:
    return redirect(f"{reverse('channels')}#channel-{channel.pk}")
