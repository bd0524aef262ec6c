"""What is kept of a member: to take along, and to delete."""

import logging

from allauth.core import ratelimit
from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from config.mail import MailDelayed, MailRefused, mail_to, send_each
from notifications import deletion, export
from notifications.deletion import LastSuperuser
from notifications.views.visitor import member

logger = logging.getLogger(__name__)


class DeletionForm(forms.Form):
    """The proof that it is the member who wants it, and not who found their browser open: the password.

    Who has none types what the account is called.
    """

    password = forms.CharField(
        label="Your password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    confirmation = forms.CharField(widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}))

    def __init__(self, user: User, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # handed on as they are
        self.user = user
        self.name = user.email or user.username
        self.fields["confirmation"].label = f"Type {self.name} to confirm"
        del self.fields["confirmation" if user.has_usable_password() else "password"]

    def clean_password(self) -> None:
        if not self.user.check_password(self.cleaned_data["password"]):
            raise forms.ValidationError("This is not your password.")

    def clean_confirmation(self) -> None:
        if self.cleaned_data["confirmation"].casefold() != self.name.casefold():
            raise forms.ValidationError(f"This is not {self.name}.")


@login_required
@never_cache
@require_safe
def account_page(request: HttpRequest) -> HttpResponse:
    return render(request, "notifications/account.html")


@login_required
@never_cache
@require_safe
def export_account(request: HttpRequest) -> StreamingHttpResponse:
    """A GET, because it changes nothing: what a foreign page can do is make the member download what is theirs."""
    content = export.of_member(member(request), timezone.now())
    response = StreamingHttpResponse(content, content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="codenotify-{timezone.localdate():%Y-%m-%d}.json"'
    return response


@sensitive_post_parameters("password")
@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def delete_account(request: HttpRequest) -> HttpResponse:
    user = member(request)
    form = DeletionForm(user, request.POST if request.method == "POST" else None)
    if request.method == "POST" and not ratelimit.consume(request, action="reauthenticate", user=user):
        return render(request, "429.html", status=429)
    if not form.is_valid():
        context = {"form": form, "is_last_superuser": deletion.is_last_superuser(user)}
        return render(request, "notifications/delete_account.html", context)
    try:
        is_first = deletion.delete_account(user.pk)
    except LastSuperuser as error:
        messages.error(request, str(error))
        return redirect("delete-account")
    logout(request)
    said = _say_goodbye(user) if user.email and is_first else ""  # a second click finds nothing to delete
    messages.success(request, f"Your account is deleted, with everything that was kept of it. {said}".strip())
    return redirect("contests")


def _say_goodbye(user: User) -> str:
    """Whether the mail left, in a sentence.

    It leaves at once, and not as a job: what jobs are to do is kept for a while, addresses and all.
    """
    text = render_to_string("notifications/account_deleted.txt", {"user": user})
    try:
        send_each([mail_to(user.email, "Your account is deleted", text, run=None)])
    except (MailDelayed, MailRefused) as error:
        logger.warning("The mail about a deleted account could not be sent: %s", type(error).__name__)
        return "The mail that says so could not be sent."
    return "A mail says so."
