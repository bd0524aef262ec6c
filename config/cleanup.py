"""The clean-up of every app, and of what belongs to none of them."""

from datetime import datetime
from time import monotonic
from typing import Any

from allauth.account.models import EmailConfirmation
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.utils import timezone

import contests.cleanup
import notifications.cleanup
import scheduler.cleanup
from config.database.batches import delete_in_batches


def clean_up(*, dry_run: bool = False) -> dict[str, Any]:
    """Delete what is past its time, and let reminders rest for members who stayed away; a dry run only counts.

    Returns the number of rows by kind, and the seconds.
    """
    began = monotonic()
    now = timezone.now()
    absent = notifications.cleanup.absent(now)
    return {
        **{kind: rows.count() if dry_run else delete_in_batches(rows) for kind, rows in _past_their_time(now).items()},
        "members_marked_inactive": absent.count() if dry_run else absent.update(active=False),
        "seconds": round(monotonic() - began, 3),
    }


def _past_their_time(now: datetime) -> "dict[str, QuerySet[Any]]":
    return {
        **contests.cleanup.past_their_time(now),
        **notifications.cleanup.past_their_time(now),
        **scheduler.cleanup.past_their_time(now),
        "sessions": Session.objects.filter(expire_date__lt=now),
        "tokens": EmailConfirmation.objects.all_expired(),
    }
