"""What this app tells whoever listens."""

from django.dispatch import Signal

contests_changed = Signal()
"""Sent after a sync committed something that members may want to hear of: a contest created, changed or cancelled."""
