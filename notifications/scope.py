"""What a plan looks at."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Scope:
    """What a plan looks at, between `now` and `until`.

    `since` is up to when all was planned before; None where nothing was, so that all is looked at. `contests` changed,
    `crossing` ones have come within reach of a lead; `members` says whether some changed, who are marked in `Replan`.
    """

    now: datetime
    until: datetime
    since: datetime | None = None
    contests: Collection[int] = ()
    crossing: Collection[int] = ()
    members: bool = False

    @property
    def values(self) -> dict[str, Any]:
        return {
            "now": self.now,
            "until": self.until,
            "since": self.since,
            "contests": list(self.contests),
            "crossing": list(self.crossing),
        }
