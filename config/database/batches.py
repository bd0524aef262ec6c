from typing import Any

from django.db.models import QuerySet

BATCH = 2_000


def delete_in_batches(rows: "QuerySet[Any]") -> int:
    """Delete the rows, a short transaction at a time, so that nobody waits long for a lock. Returns their number."""
    deleted = 0
    while batch := list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        rows.model._default_manager.filter(pk__in=batch).delete()
        deleted += len(batch)
    return deleted
