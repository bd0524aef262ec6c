"""The time zones that members may be in: those that the system and the database understand alike."""

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

NOWHERE = {"Factory", "localtime"}
"""Names that stand beside those of zones: for none, and for this machine's own, which the database does not know."""

SUMMERLESS = {"CET": "Europe/Brussels", "EET": "Europe/Athens", "MET": "Europe/Brussels", "WET": "Europe/Lisbon"}
"""Zones whose names are abbreviations to PostgreSQL, of a time that knows no summer; and what they are names of."""


@cache
def time_zones() -> frozenset[str]:
    """The names that a member may choose from, and that the database understands alike; read from disk once."""
    return frozenset(available_timezones() - NOWHERE - SUMMERLESS.keys())


def zone_called(name: str) -> ZoneInfo:
    """UTC where the system does not know the zone, or does not know it any more."""
    return ZoneInfo(name if name in time_zones() else "UTC")
