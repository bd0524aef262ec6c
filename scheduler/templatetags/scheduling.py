"""What every page of Django admin says while something is paused, or stands still."""

from typing import Any
from urllib.parse import urlsplit

from django import template
from django.conf import settings
from django.contrib.admin.views.main import PAGE_VAR
from django.db.models import F
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from scheduler.models import Pause
from scheduler.pausing import is_anything_overdue

register = template.Library()

MOST_NAMED = 3


@register.inclusion_tag("admin/scheduler/banner.html")
def scheduling_banner(request: HttpRequest) -> dict[str, Any]:
    """The pauses that are in force, and a warning where no beat seems to run."""
    now = timezone.now()
    active = Pause.objects.active(now).select_related("schedule__periodic_task")
    pauses = list(active.order_by(F("schedule").asc(nulls_first=True), "task")[: MOST_NAMED + 1])
    may_view = request.user.has_perm("scheduler.view_pause") or request.user.has_perm("scheduler.change_pause")
    return {
        "request": request,
        "pauses": pauses[:MOST_NAMED],
        "has_more": len(pauses) > MOST_NAMED,
        "list": reverse("admin:scheduler_pause_changelist") if may_view else "",
        "may_resume": request.user.has_perm("scheduler.change_pause"),
        "back": _unless_of_pauses(request.get_full_path()),
        "is_overdue": settings.SCHEDULING_ENABLED and is_anything_overdue(now),
    }


def _unless_of_pauses(path: str) -> str:
    """Where to return once a pause is over: its own page is gone then."""
    pauses = reverse("admin:scheduler_pause_changelist")
    return pauses if urlsplit(path).path.startswith(pauses) else path


@register.simple_tag
def older_than_these(changelist: Any) -> str:
    """Where a list goes on that ends with its last counted page, though there is more; its rows know `created_at`."""
    pages = changelist.paginator.num_pages
    is_cut = changelist.paginator.count > changelist.list_per_page * pages
    if not is_cut or changelist.page_num < pages:
        return ""
    last = list(changelist.result_list)[-1].created_at
    return str(changelist.get_query_string({"created_at__lt": last.isoformat()}, remove=[PAGE_VAR]))
