"""What a visitor wants to see of the contests. It lives in the address, so that it can be kept and subscribed to."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Self
from urllib.parse import urlencode

from django.db.models import Q
from django.http import QueryDict

from contests.lengths import duration
from contests.models import Platform

LONGEST_HOURS = (2, 3, 5, 24)
MOST_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Choice:
    """No platform at all means any; `longest` is in hours, and None where any length will do.

    Contests of which nobody knows whether they are rated are shown with those that are.
    """

    platforms: tuple[str, ...] = ()
    trainings: bool = False
    unrated: bool = True
    longest: int | None = None
    words: str = ""

    @classmethod
    def read(cls, query: QueryDict, known: Iterable[str]) -> Self:
        """The choice in an address; what makes no sense there is no choice."""
        asked = set(query.getlist("platform"))
        longest = query.get("longest", "")
        return cls(
            platforms=tuple(code for code in known if code in asked),
            trainings=query.get("trainings") == "1",
            unrated=query.get("unrated") != "0",
            longest=int(longest) if longest in map(str, LONGEST_HOURS) else None,
            words=" ".join(query.get("q", "").replace("\0", " ")[:MOST_CHARACTERS].split()),
        )

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """As they stand in an address, without those that narrow nothing."""
        parameters = [("platform", code) for code in self.platforms]
        parameters += [("trainings", "1")] * self.trainings
        parameters += [("unrated", "0")] * (not self.unrated)
        parameters += [("longest", str(self.longest))] * bool(self.longest)
        return parameters + [("q", self.words)] * bool(self.words)

    @property
    def query(self) -> str:
        """The end of an address."""
        return f"?{urlencode(self.parameters)}" if self.parameters else ""

    @property
    def beside_the_form(self) -> list[tuple[str, str]]:
        """The parameters that have chips and no field in the form."""
        return [(name, value) for name, value in self.parameters if name not in ("longest", "q")]

    def toggling(self, code: str) -> Self:
        if code in self.platforms:
            return replace(self, platforms=tuple(chosen for chosen in self.platforms if chosen != code))
        return replace(self, platforms=(*self.platforms, code))

    def includes(self, platform: Platform) -> bool:
        return not self.platforms or platform.code in self.platforms

    @property
    def condition(self) -> Q:
        """For contests."""
        wanted = Q(platform__in=self.platforms) if self.platforms else Q()
        if not self.trainings:
            wanted &= Q(is_training=False)
        if not self.unrated:
            wanted &= ~Q(is_rated=False)
        if self.longest:
            wanted &= Q(duration__lte=timedelta(hours=self.longest))
        for word in self.words.split():
            wanted &= Q(name__icontains=word)
        return wanted


@dataclass(frozen=True, slots=True)
class Chip:
    """A link that adds something to the choice, or takes it away again."""

    label: str
    url: str
    chosen: bool
    code: str = ""


def filters(choice: Choice, platforms: Iterable[Platform], page: str) -> dict[str, Any]:
    """What contests/filters.html shows: the ways from this choice to others on the page at that address."""
    return {
        "choice": choice,
        "page": page,
        "chips": _chips(choice, platforms, page),
        "kinds": [
            Chip("Trainings", page + replace(choice, trainings=not choice.trainings).query, choice.trainings),
            Chip("Unrated", page + replace(choice, unrated=not choice.unrated).query, choice.unrated),
        ],
        "lengths": [(hours, duration(timedelta(hours=hours))) for hours in LONGEST_HOURS],
    }


def _chips(choice: Choice, platforms: Iterable[Platform], page: str) -> list[Chip]:
    return [
        Chip("All platforms", page + replace(choice, platforms=()).query, chosen=not choice.platforms),
        *(
            Chip(
                platform.name,
                page + choice.toggling(platform.code).query,
                platform.code in choice.platforms,
                platform.code,
            )
            for platform in platforms
        ),
    ]
