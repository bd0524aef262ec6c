"""Deleting an account, with everything that is kept of it."""

import logging

from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction

from notifications.models import Channel, Notification

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""A delivery may hold in another order what is deleted here: the database then asks one of them to try again."""


class LastSuperuser(Exception):
    """Nobody would be left who may do everything. `str(error)` says so."""

    def __init__(self) -> None:
        super().__init__(
            "You are the last superuser: make somebody else one first, or nobody can look after this site."
        )


def is_last_superuser(user: User) -> bool:
    superusers = User.objects.filter(is_superuser=True, is_active=True)
    return user.is_superuser and not superusers.exclude(pk=user.pk).exists()


def delete_account(user: int) -> None:
    """Raises LastSuperuser, and deletes nothing then."""
    for attempt in range(ATTEMPTS):
        try:
            return _delete(user)
        except OperationalError as error:
            if connection.in_atomic_block or attempt == ATTEMPTS - 1:
                raise
            logger.warning("An account could not be deleted and that is tried again: %s", str(error).strip())
    raise AssertionError


@transaction.atomic
def _delete(pk: int) -> None:
    """Each table in one statement, however many rows.

    1. Hold the superusers, so that the last two of them cannot go at the same moment.
    2. Hold the channels, as whoever sends does first, so that nothing is planned or sent meanwhile.
    3. Delete what was told there, and then the account; all else goes with that by its foreign keys.
    """
    user = User.objects.select_for_update().get(pk=pk)
    if user.is_superuser:
        list(User.objects.filter(is_superuser=True).order_by("pk").select_for_update())
        if is_last_superuser(user):
            raise LastSuperuser
    channels = list(Channel.objects.filter(user=user).order_by("pk").select_for_update().values_list("pk", flat=True))
    Notification.objects.filter(channel__in=channels).delete()
    user.delete()
