from typing import Any

from django.db.models import QuerySet

BATCH = 2_000


def delete_in_batches(rows: "QuerySet[Any]") -> int:
    """Delete the rows, a short transaction at a time, so that nobody waits long for a lock. Returns their number."""
    deleted = 0
    while True:
        batch = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
        # What is not to go any more, such as a session that was just prolonged, stays.
        _, by_model = rows.filter(pk__in=batch).delete()
        deleted += by_model.get(rows.model._meta.label, 0)
        if len(batch) < BATCH:
            return deleted
