"""The scheduler in Django admin: what shall run, and what ran."""

from scheduler.admin import schedules

__all__ = ["schedules"]
