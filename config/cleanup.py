"""The clean-up of every app, and of what belongs to none of them."""

from datetime import datetime
from time import monotonic
from typing import Any

from allauth.account.models import EmailConfirmation
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

import contests.cleanup
import notifications.cleanup
from config.database.batches import delete_in_batches


def clean_up(*, dry_run: bool = False) -> dict[str, Any]:
    """Delete what is past its time; a dry run only counts. Returns the number of rows by kind, and the seconds."""
    began = monotonic()
    now = timezone.now()
    if dry_run:
        with transaction.atomic():
            report = _clean_up(now)
            transaction.set_rollback(True)
    else:
        report = _clean_up(now)
    return {**report, "seconds": round(monotonic() - began, 3)}


def _clean_up(now: datetime) -> dict[str, Any]:
    return {
        **contests.cleanup.clean_up(now),
        **notifications.cleanup.clean_up(now),
        "sessions": delete_in_batches(Session.objects.filter(expire_date__lt=now)),
        "tokens": delete_in_batches(EmailConfirmation.objects.all_expired()),
    }
