"""Notifications in Django admin: what members want, where they are reached, and what they are told."""

from notifications.admin import channels, choices, notifications, preferences, providers

__all__ = ["channels", "choices", "notifications", "preferences", "providers"]
