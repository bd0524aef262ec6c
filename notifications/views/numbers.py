"""The pages on which a member adds a WhatsApp number: the number is typed, then the code that was sent there."""

from functools import cache
from importlib import resources
from ipaddress import ip_address, ip_network
from uuid import UUID

from allauth.account.adapter import get_adapter
from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from notifications.channels.whatsapp import WhatsApp, numbers
from notifications.channels.whatsapp.numbers import BadNumber
from notifications.models import Verification
from notifications.verification import DIGITS, MOST_TRIES, NotSent, NotVerified, TooMany, send_code, verify
from notifications.views.visitor import member


class NumberForm(forms.Form):
    """A number, as people type it; `region` is the country of those that begin with no plus sign."""

    number = forms.CharField(
        label="Your WhatsApp number",
        max_length=40,
        help_text="With the country's code, such as +49 1512 3456789.",
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "tel"}),
    )

    def __init__(self, *args: object, region: str | None = None, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # handed on as they came
        self._region = region

    def clean_number(self) -> str:
        try:
            return numbers.e164(self.cleaned_data["number"], self._region)
        except BadNumber as error:
            raise ValidationError(str(error)) from error


class CodeForm(forms.Form):
    code = forms.CharField(
        label="The code",
        max_length=20,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "one-time-code"}),
    )

    def clean_code(self) -> str:
        """Its digits alone: people copy spaces along."""
        digits = "".join(self.cleaned_data["code"].split())
        if not (digits.isascii() and digits.isdecimal() and len(digits) == DIGITS):
            raise ValidationError(f"The code is a number of {DIGITS} digits.")
        return digits


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def add_number(request: HttpRequest) -> HttpResponse:
    """Ask for a number, and send a code there on a POST."""
    _require_whatsapp()
    status = 200
    posted = request.POST if request.method == "POST" else None
    form = NumberForm(posted, region=region_of(timezone.get_current_timezone_name()))
    if form.is_valid():
        try:
            sent = send_code(member(request), WhatsApp.kind, form.cleaned_data["number"], _address(request))
            return redirect("verify-number", sent.pk)
        except NotSent as error:
            status = 429 if isinstance(error, TooMany) else 200
            form.add_error("number", str(error))
    return render(request, "notifications/add_number.html", {"form": form}, status=status)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def verify_number(request: HttpRequest, verification: UUID) -> HttpResponse:
    """Take the code that was sent."""
    _require_whatsapp()
    found = get_object_or_404(Verification, pk=verification, user=member(request), verified_at=None)
    form = CodeForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            channel = verify(found, form.cleaned_data["code"])
        except NotVerified as error:
            form.add_error("code", str(error))
        else:
            messages.success(request, f"{numbers.readable(channel.address)} gets your reminders from now on.")
            return redirect("channels")
    context = {"form": form, "verification": found, "number": numbers.readable(found.address), "tries": MOST_TRIES}
    return render(request, "notifications/verify_number.html", context)


def _require_whatsapp() -> None:
    """These are no pages where the operator has not set it up."""
    if not WhatsApp.is_configured():
        raise Http404


def _address(request: HttpRequest) -> str | None:
    """The visitor's internet address; of IPv6 the network, in which a visitor has as many as they like.

    None where it is not known, as over a socket of the system from a proxy that does not tell it.
    """
    try:
        address = ip_address(get_adapter().get_client_ip(request))
    except PermissionDenied:
        return None
    return str(ip_network((address, 64), strict=False).network_address if address.version == 6 else address)


@cache
def _countries() -> dict[str, str]:
    """The country of each zone that lies in one, by the list that comes with the zones."""
    listed = resources.files("tzdata.zoneinfo").joinpath("zone.tab").read_text()
    rows = (line.split("\t") for line in listed.splitlines() if line and not line.startswith("#"))
    return {zone: country for country, _, zone, *_ in rows}


def region_of(zone: str) -> str | None:
    return _countries().get(zone)
