"""How staff read of a notification: what it is, and how it stands."""

from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from config.admin import moment
from notifications.forms import lead_in_words
from notifications.models import Notification, NotificationKind, Status

COLOURS = {
    Status.SENT: "success",
    Status.FAILED: "danger",
    Status.EXPIRED: "warning",
    Status.SKIPPED: "default",
    Status.PENDING: "info",
    Status.SENDING: "info",
}


def label(text: str, colour: str) -> SafeString:
    """As the lists show a state."""
    return render_to_string("unfold/helpers/label.html", {"text": text, "type": colour})


def what_of(notification: Notification) -> str:
    """As `1 h before Round 1`; a contest's name is cut where it is very long."""
    contest = Truncator(notification.contest_name).chars(60)
    match notification.kind:
        case NotificationKind.REMINDER:
            return f"{lead_in_words(notification.lead_minutes)} before {contest}"
        case NotificationKind.MOVED:
            return f"Moved: {contest}"
        case NotificationKind.CANCELLED:
            return f"Cancelled: {contest}"
        case NotificationKind.REINSTATED:
            return f"After all: {contest}"
        case NotificationKind.DIGEST:
            return f"Digest of {moment(notification.starts_at)}"
        case NotificationKind.CHANNEL_OFF:
            return f"Channel off: {Truncator(notification.detail).chars(60)}"
    return notification.get_kind_display().capitalize()
