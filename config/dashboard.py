"""The first page of Django admin, and the way to the others: what runs, what is broken, who was told."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.admin import site
from django.db.models import Count, Q
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django_celery_beat.models import PeriodicTask

from config import outbox
from config.admin import moment
from contests.admin import HEALTHS, health_of, trouble_of
from contests.models import Contest, Platform
from notifications import providers
from notifications.admin.providers import HEALTHS as PROVIDER_HEALTHS
from notifications.models import OPEN_STATUSES, Notification, NotificationKind, Provider, Status
from notifications.providers import Health, Queue
from scheduler import schedules
from scheduler.admin.filters import counted
from scheduler.admin.labels import LATE, link_to, outcome, state_label
from scheduler.models import Status as RunStatus

COUNTED_BACK = timedelta(hours=24)
WAITS_TOO_LONG = timedelta(hours=1)
"""A reminder that could have been sent for so long says that nobody sends."""

NOTIFICATIONS = "notifications.notification"
SCHEDULES = "django_celery_beat.periodictask"
SCHEDULES_SHOWN = 10
RUNS = "scheduler.run"
RUNS_COUNTED = 10_000
"""Of each status; where there are more, how many is no matter for a glance."""

PAGES = {
    "Contests": (
        ("Platforms", "hub", "contests.platform"),
        ("Contests", "event", "contests.contest"),
        ("Syncs", "sync", "contests.platformsync"),
    ),
    "Members": (
        ("Preferences", "tune", "notifications.preference"),
        ("Channels", "contact_mail", "notifications.channel"),
        ("Notifications", "outgoing_mail", NOTIFICATIONS),
        ("Follows and mutes", "star", "notifications.contestchoice"),
        ("Providers", "cell_tower", "notifications.provider"),
    ),
    "Scheduler": (
        ("Schedules", "schedule", SCHEDULES),
        ("Runs", "play_circle", RUNS),
        ("Pauses", "pause_circle", "scheduler.pause"),
        ("Events", "history", "scheduler.runevent"),
    ),
    "Accounts": (
        ("Users", "person", "auth.user"),
        ("Mail addresses", "alternate_email", "account.emailaddress"),
        ("Groups", "group", "auth.group"),
    ),
}
"""The side bar: title, icon and model of each list."""

Row = list[Any]


def favicon(request: HttpRequest) -> str:
    return static("favicon.svg")


def stylesheet(request: HttpRequest) -> str:
    return static("admin.css")


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The lists that this member of staff may see."""
    first = [{"title": site.index_title, "icon": "monitor_heart", "link": reverse("admin:index")}]
    if outbox.is_in_use():
        first.append({"title": "Written mails", "icon": "mail", "link": reverse("outbox")})
    groups = [
        {
            "title": title,
            "items": [
                {"title": name, "icon": icon, "link": _list_of(model)}
                for name, icon, model in pages
                if _may_view(request, model)
            ],
        }
        for title, pages in PAGES.items()
    ]
    return [{"items": first}, *groups]


def add_to(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the first page shows besides; of each part only what this member of staff may see."""
    attention: list[str] = []
    parts = {
        "contests.platform": _platforms,
        SCHEDULES: _schedules,
        RUNS: _runs,
        "notifications.provider": _providers,
        NOTIFICATIONS: _notifications,
    }
    panels = [part(attention) for model, part in parts.items() if _may_view(request, model)]
    return {**context, "attention": attention, "panels": panels}


def _platforms(attention: list[str]) -> dict[str, Any]:
    now = timezone.now()
    upcoming = Q(contests__in=Contest.objects.upcoming(now))
    rows: list[Row] = []
    for platform in Platform.objects.annotate(upcoming=Count("contests", filter=upcoming)):
        health = health_of(platform)
        link = _link(platform.name, reverse("admin:contests_platform_change", args=[platform.pk]))
        rows.append([link, _label(health, HEALTHS), platform.upcoming, moment(platform.last_success_at)])
        if health == "failing":
            trouble = Truncator(trouble_of(platform, now)).chars(200)
            attention.append(format_html("{} cannot be read. {}", link, trouble))
    headers = ["platform", "health", "upcoming contests", "last read"]
    return _panel("Platforms", "contests.platform", headers, rows)


def _schedules(attention: list[str]) -> dict[str, Any]:
    """Those that need attention, then those that come next, then others: some of each, for there may be a million."""
    now = timezone.now()
    if not settings.SCHEDULING_ENABLED:
        attention.append("Scheduling is turned off by SCHEDULING_ENABLED: nothing below runs by itself.")
    everyone = PeriodicTask.objects.filter(scheduling__isnull=False).select_related(*schedules.WITH_ITS_TIMES)
    shown: dict[int, PeriodicTask] = {}
    for state in (schedules.State.BROKEN, schedules.State.LATE):
        found = list(schedules.in_state(everyone, state, now)[: SCHEDULES_SHOWN + 1])
        if len(found) > SCHEDULES_SHOWN:
            url = f"{_list_of(SCHEDULES)}?{urlencode({'state': state.value})}"
            attention.append(_link(f"More schedules are {state.value} than are told here.", url))
        for schedule in found[:SCHEDULES_SHOWN]:
            why = schedule.scheduling.error or LATE
            attention.append(format_html("The schedule {} does not run. {}", link_to(schedule), why))
            shown[schedule.pk] = schedule
    coming = everyone.filter(enabled=True, scheduling__next_run_at__isnull=False).order_by("scheduling__next_run_at")
    for others in (coming, everyone.order_by("name")):
        missing = max(0, SCHEDULES_SHOWN - len(shown))
        shown |= {schedule.pk: schedule for schedule in others.exclude(pk__in=list(shown))[:missing]}
    pauses, runs = schedules.active_pauses(shown.values(), now), schedules.latest_runs(shown.values(), most=10)
    rows: list[Row] = [
        [
            link_to(schedule),
            state_label(schedules.state_of(schedule, pauses, now)),
            schedules.in_words(schedule, with_zone=True),
            moment(schedule.scheduling.next_run_at if schedule.enabled else None),
            outcome(runs[schedule.pk], now),
        ]
        for schedule in shown.values()
    ]
    return _panel("Schedules", SCHEDULES, ["schedule", "state", "when", "next run", "last run"], rows)


def _runs(attention: list[str]) -> dict[str, Any]:
    since = timezone.now() - COUNTED_BACK
    counts = counted(list(RunStatus), RUNS_COUNTED, since)
    rows: list[Row] = []
    for status, count in counts.items():
        url = f"{_list_of(RUNS)}?{urlencode({'status__exact': status.value, 'asked': 'day'})}"
        number = f"{count:,}" if count <= RUNS_COUNTED else f"more than {RUNS_COUNTED:,}"
        rows.append([_link(status.label, url), number])
        if count and status in (RunStatus.FAILED, RunStatus.LOST):
            attention.append(_link(f"Of the last 24 hours' runs {number} {status.label}.", url))
    return _panel("Runs in the last 24 hours", RUNS, ["status", "number"], rows)


def _providers(attention: list[str]) -> dict[str, Any]:
    now = timezone.now()
    queues = providers.queues(now)
    rows: list[Row] = []
    for provider in Provider.objects.all():
        health, queue = providers.health_of(provider), queues.get(provider.kind, Queue())
        link = _link(str(provider), reverse("admin:notifications_provider_change", args=[provider.pk]))
        shown = _label(health.label, PROVIDER_HEALTHS)
        rows.append([link, shown, queue.counted, moment(queue.oldest), moment(provider.last_success_at)])
        if health == Health.DOWN:
            trouble = Truncator(providers.trouble_of(provider, now)).chars(300)
            attention.append(format_html("Nothing can be sent by {} at the moment. {}", link, trouble))
        if health == Health.ABSENT and queue.waiting:
            attention.append(format_html("{} for {}, which is not set up.", str(queue).capitalize(), link))
    headers = ["channel", "health", "waiting", "oldest due", "last success"]
    return _panel("Channels", "notifications.provider", headers, rows)


def _notifications(attention: list[str]) -> dict[str, Any]:
    now = timezone.now()
    newest = Notification.objects.filter(created_at__gte=now - COUNTED_BACK).order_by()
    counts = {
        (kind, status): count for kind, status, count in newest.values_list("kind", "status").annotate(Count("pk"))
    }
    rows: list[Row] = [
        [
            _link(kind.label, _notifications_that(kind__exact=kind)),
            *(
                _link(f"{count:,}", _notifications_that(kind__exact=kind, status__exact=status))
                if (count := counts.get((kind, status), 0))
                else "0"
                for status in Status
            ),
        ]
        for kind in NotificationKind
        if kind == NotificationKind.REMINDER or any(counts.get((kind, status)) for status in Status)
    ]
    if failed := sum(count for (_, status), count in counts.items() if status == Status.FAILED):
        url = _notifications_that(status__exact=Status.FAILED)
        attention.append(_link(f"{failed:,} of the last 24 hours' notifications failed.", url))
    stuck = Notification.objects.filter(
        status__in=OPEN_STATUSES, available_at__lt=now - WAITS_TOO_LONG, expires_at__gt=now
    )
    up = [each.kind for each in Provider.objects.all() if providers.health_of(each) in (Health.UP, Health.UNUSED)]
    if stuck.filter(channel__kind__in=up).exists():
        url = _notifications_that(status__exact="waiting")
        attention.append(_link("Notifications wait for more than an hour: is a worker running?", url))
    headers = ["kind", *(status.label for status in Status)]
    return _panel("Notifications planned in the last 24 hours", NOTIFICATIONS, headers, rows)


def _notifications_that(**are: str) -> str:
    return f"{_list_of(NOTIFICATIONS)}?{urlencode(are)}"


def _panel(title: str, model: str, headers: list[str], rows: list[Row]) -> dict[str, Any]:
    return {"title": title, "url": _list_of(model), "table": {"headers": headers, "rows": rows}}


def _label(text: str, colours: dict[str, str]) -> SafeString:
    return render_to_string("unfold/helpers/label.html", {"text": text, "type": colours[text]})


def _link(text: str, url: str) -> SafeString:
    return format_html('<a class="text-link" href="{}">{}</a>', url, text)


def _list_of(model: str) -> str:
    return reverse(f"admin:{model.replace('.', '_')}_changelist")


def _may_view(request: HttpRequest, model: str) -> bool:
    app, name = model.split(".")
    user = request.user
    return bool(user.has_perm(f"{app}.view_{name}") or user.has_perm(f"{app}.change_{name}"))
