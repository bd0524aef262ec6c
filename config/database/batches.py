from typing import Any

from django.db.models import QuerySet

BATCH = 2_000


def delete_in_batches(rows: "QuerySet[Any]") -> int:
    """Delete the rows, a short transaction at a time, so that nobody waits long for a lock. Returns their number."""
    deleted = 0
    left = rows.order_by("pk")
    while True:
        batch = list(left.values_list("pk", flat=True)[:BATCH])
        # What is not to go any more, such as a session that was just prolonged, stays.
        _, by_model = rows.filter(pk__in=batch).delete()
        deleted += by_model.get(rows.model._meta.label, 0)
        if len(batch) < BATCH:
            return deleted
        # What was seen, kept or deleted, is not read again: a million rows take no longer than their number says.
        left = left.filter(pk__gt=batch[-1])
