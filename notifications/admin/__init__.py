"""Notifications in Django admin: what members want, where they are reached, and what they are told."""

from notifications.admin import channels, notifications, preferences

__all__ = ["channels", "notifications", "preferences"]
