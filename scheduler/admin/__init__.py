"""The scheduler in Django admin: what shall run, and what ran."""

from scheduler.admin import events, pauses, runs, schedules

__all__ = ["events", "pauses", "runs", "schedules"]
