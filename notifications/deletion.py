"""Deleting an account, with everything that is kept of it."""

from django.contrib.auth.models import User
from django.db import transaction

from notifications.models import Channel, Notification
from notifications.retrying import tried_again


class LastSuperuser(Exception):
    """Nobody would be left who may do everything. `str(error)` says so."""

    def __init__(self) -> None:
        super().__init__(
            "You are the last superuser: make somebody else one first, or nobody can look after this site."
        )


def is_last_superuser(user: User) -> bool:
    superusers = User.objects.filter(is_superuser=True, is_active=True)
    return user.is_superuser and not superusers.exclude(pk=user.pk).exists()


def delete_account(user: int) -> bool:
    """False where it was gone already. Raises LastSuperuser, and deletes nothing then."""
    return tried_again(lambda: _delete(user), "the deletion of an account")


@transaction.atomic
def _delete(pk: int) -> bool:
    """Each table in one statement, however many rows.

    1. Hold the superusers, so that the last two of them cannot go at the same moment.
    2. Hold the channels, as whoever sends does first, so that nothing is planned or sent meanwhile.
    3. Delete what was told there, and then the account; all else goes with that by its foreign keys.
    """
    user = User.objects.select_for_update().filter(pk=pk).first()
    if user is None:
        return False
    if user.is_superuser:
        list(User.objects.filter(is_superuser=True).order_by("pk").select_for_update())
        if is_last_superuser(user):
            raise LastSuperuser
    channels = list(Channel.objects.filter(user=user).order_by("pk").select_for_update().values_list("pk", flat=True))
    Notification.objects.filter(channel__in=channels).delete()
    user.delete()
    return True
