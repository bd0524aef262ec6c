"""What the admin pages of all apps share, and the pages of accounts."""

from typing import Any

from celery.canvas import Signature
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm


class ReadOnlyMixin:
    """What only the code writes: staff look, and change nothing."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def enqueue(request: HttpRequest, job: "Signature[Any]", what: str) -> None:
    """Hand a job to the workers, and tell the member of staff that it is on its way, or why it is not."""
    try:
        job.delay()
    except Exception as error:  # each broker's client raises its own
        messages.error(request, f"{what} could not be started: the message broker is out of reach ({error}).")
    else:
        messages.success(request, f"{what} was handed to the workers. Reload this page in a moment to see what came.")


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]  # generic for the checker alone
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    pass
