"""The pages of contests as a visitor reads them, at noon of 22 November 2026 in UTC, a Sunday."""

from datetime import datetime, timedelta
from typing import Any

from bs4 import BeautifulSoup
from django.test import Client
from icalendar import Calendar

from contests.models import Contest, ContestChange
from tests.factories import ContestFactory
from tests.pages import words
from tests.times import HOUR, NOW


class Page:
    """What a visitor reads; white space as a browser shows it."""

    def __init__(self, client: Client, path: str = "/", status: int = 200) -> None:
        response = client.get(path)
        assert response.status_code == status
        self.html = response.content.decode()
        self.soup = BeautifulSoup(self.html, "lxml")
        self.text = words(self.soup)

    def texts(self, selector: str) -> list[str]:
        return [words(element) for element in self.soup.select(selector)]

    @property
    def names(self) -> list[str]:
        return self.texts(".contest h3")

    def row(self, contest: Contest) -> str:
        (row,) = (text for text in self.texts(".contest") if contest.name in text)
        return row

    def chip(self, label: str) -> Any:
        (chip,) = (chip for chip in self.soup.select(".chip") if chip.get_text(strip=True) == label)
        return chip


def events(client: Client, path: str = "/feeds/all.ics") -> dict[str, Any]:
    """A calendar's, by name."""
    response = client.get(path)
    assert (response.status_code, response["Content-Type"]) == (200, "text/calendar; charset=utf-8")
    return {str(event["summary"]): event for event in Calendar.from_ical(response.content).walk("VEVENT")}


def starting(after: timedelta, **fields: Any) -> Contest:
    return ContestFactory(starts_at=NOW + after, **fields)


def changed(contest: Contest, field: str, old: object, new: object, ago: timedelta = HOUR) -> None:
    ContestChange.objects.create(contest=contest, field=field, old=str(old), new=str(new), changed_at=NOW - ago)


def moved(contest: Contest, before: datetime, ago: timedelta = HOUR, field: str = "starts_at") -> None:
    changed(contest, field, before.isoformat(), contest.starts_at.isoformat(), ago)
