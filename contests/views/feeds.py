"""What is new about contests, for feed readers and calendars. Every feed says the same to all, in UTC."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.syndication.views import Feed
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.feedgenerator import Atom1Feed
from django.utils.html import escape
from django.utils.http import http_date
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page, require_safe

from config.calendars import MEDIA_TYPE, calendar
from contests.history import in_words, moment
from contests.lengths import duration
from contests.models import Contest, ContestChange, ContestQuerySet, Platform
from contests.views.choice import Choice

EVERY_PLATFORM = "all"
MOST_NEWS = 50
MOST_CONTESTS = 1000
REFRESH = timedelta(hours=1)
"""How often calendars are asked to come again."""

SHARED_FOR = int(timedelta(minutes=5).total_seconds())
"""How long whoever stands in between may hand out the same answer."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a feed is about: the platforms of its address, narrowed by the same query as the pages."""

    name: str
    code: str
    choice: Choice

    @classmethod
    def read(cls, request: HttpRequest, code: str) -> "Source":
        platforms = {platform.code: platform for platform in Platform.objects.all()}
        choice = Choice.read(request.GET, platforms)
        if code == EVERY_PLATFORM:
            return cls("Programming contests", code, choice)
        if code not in platforms:
            raise Http404(f"There is no platform {code}")
        return cls(f"{platforms[code].name} contests", code, replace(choice, platforms=(code,)))

    @property
    def contests(self) -> ContestQuerySet:
        return Contest.objects.filter(self.choice.condition).select_related("platform")


@dataclass(frozen=True, slots=True)
class News:
    """One thing to tell, and when its words changed last. `about` names it for ever, within this installation."""

    about: str
    when: datetime
    updated: datetime
    title: str
    text: str
    contest: Contest


def _news(source: Source) -> list[News]:
    """The newest announcements, moves and cancellations, the newest first; of what was over by then, nothing."""
    announced = source.contests.filter(starts_at__gt=F("first_seen_at")).order_by("-first_seen_at", "starts_at")
    changes = (
        ContestChange.objects.filter(contest__in=source.contests, field__in=["starts_at", "cancelled_at"])
        .filter(contest__ends_at__gt=F("changed_at"))
        .select_related("contest__platform")
        .order_by("-changed_at", "-pk")
    )
    news = [_announcement(contest) for contest in announced[:MOST_NEWS]]
    news += [_change(change) for change in changes[:MOST_NEWS]]
    return sorted(news, key=lambda each: each.when, reverse=True)[:MOST_NEWS]


def _announcement(contest: Contest) -> News:
    """With the times of now: whoever reads of it late shall not be told the old ones."""
    starts_at = moment(contest.starts_at.isoformat())
    return News(
        about=f"{contest.get_absolute_url()}announced",
        when=contest.first_seen_at,
        updated=contest.changed_at,
        title=f"New: {contest.name}",
        text=f"{contest.platform.name}, {starts_at} UTC, {duration(contest.duration)}.",
        contest=contest,
    )


def _change(change: ContestChange) -> News:
    words = in_words(change)
    what = words.partition(" from ")[0].partition(":")[0]
    return News(
        about=f"{change.contest.get_absolute_url()}{change.field}/{change.changed_at:%Y%m%dT%H%M%S.%f}",
        when=change.changed_at,
        updated=change.changed_at,
        title=f"{what}: {change.contest.name}",
        text=f"{words}.",
        contest=change.contest,
    )


if TYPE_CHECKING:
    _Feed = Feed[News, Source]
else:  # generic for the checker alone
    _Feed = Feed


class _ContestNews(_Feed):
    feed_type = Atom1Feed
    author_name = "CodeNotify"

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Source:
        return Source.read(request, kwargs["code"])

    def title(self, source: Source) -> str:
        return source.name

    def subtitle(self, source: Source) -> str:
        return "Contests that are new, moved or cancelled. All times are in UTC."

    def link(self, source: Source) -> str:
        return f"{settings.SITE_URL}{reverse('contests')}{source.choice.query}"

    def feed_url(self, source: Source) -> str:
        query = (replace(source.choice, platforms=()) if source.code != EVERY_PLATFORM else source.choice).query
        return f"{settings.SITE_URL}{reverse('atom-feed', args=[source.code])}{query}"

    def feed_guid(self, source: Source) -> str:
        return self.feed_url(source)

    def items(self, source: Source) -> list[News]:
        return _news(source)

    def item_title(self, news: News) -> str:
        return news.title

    def item_description(self, news: News) -> str:
        """Which Atom says is HTML."""
        return escape(news.text)

    def item_link(self, news: News) -> str:
        return f"{settings.SITE_URL}{news.contest.get_absolute_url()}"

    def item_guid(self, news: News) -> str:
        """A tag URI (RFC 4151)."""
        return f"tag:{settings.SITE_HOST},2026:{news.about}"

    def item_pubdate(self, news: News) -> datetime:
        return news.when

    def item_updateddate(self, news: News) -> datetime:
        return news.updated

    def item_categories(self, news: News) -> list[str]:
        return [news.contest.platform.name]


@require_safe
@conditional_page
@cache_control(public=True, max_age=SHARED_FOR)
def atom_feed(request: HttpRequest, code: str) -> HttpResponse:
    with timezone.override(UTC):
        return _ContestNews()(request, code=code)


@require_safe
@conditional_page
@cache_control(public=True, max_age=SHARED_FOR)
def calendar_feed(request: HttpRequest, code: str) -> HttpResponse:
    """Every contest that is known, also those that are over or cancelled: calendars forget what a feed leaves out."""
    source = Source.read(request, code)
    contests = source.contests.order_by("-starts_at", "pk")[:MOST_CONTESTS]
    entries = [contest.calendar_entry for contest in reversed(contests)]
    content = calendar(entries, name=source.name, refresh=REFRESH)
    response = HttpResponse(content, content_type=MEDIA_TYPE)
    if entries:
        response["Last-Modified"] = http_date(max(entry.changed_at for entry in entries).timestamp())
    return response
