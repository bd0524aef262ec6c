"""The channels by kind: adding one is a file here, a line here and a test."""

from notifications.channels.base import Channel
from notifications.channels.email import Email
from notifications.channels.push import Push
from notifications.channels.whatsapp import WhatsApp

CHANNELS: dict[str, type[Channel]] = {channel.kind: channel for channel in (Email, Push, WhatsApp)}


def title_of(kind: str) -> str:
    """What people call a kind of channel, even one that there is no more."""
    return CHANNELS[kind].title if kind in CHANNELS else kind
