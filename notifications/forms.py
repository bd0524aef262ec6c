"""What a member may ask for on the page of preferences."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from contests.models import Platform
from notifications.models import (
    LONGEST_LEAD,
    MOST_LEADS,
    MOST_WORDS,
    SHORTEST_LEAD,
    Digest,
    Preference,
    Quiet,
    Weekday,
    minutes,
)
from notifications.zones import time_zones

USUAL_LEADS = (10, 15, 30, 60, 120, 360, 720, 1440, 2880, 4320, 10080)
"""Minutes; other values are typed."""

USUAL_LENGTHS = (2, 3, 5, 8, 12, 24, 48, 72, 168, 336)
"""Hours."""

LONGEST_WORD = 50
LONGEST_PAUSE = timedelta(days=366)
"""Of a pause that ends by itself."""

LOCAL_MOMENT = "%Y-%m-%dT%H:%M"
"""As a browser sends it."""

_UNITS = {
    "m": 1,
    "min": 1,
    "minute": 1,
    "h": 60,
    "hr": 60,
    "hour": 60,
    "d": 1440,
    "day": 1440,
    "w": 10080,
    "week": 10080,
}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.ASCII)
_LENGTH = re.compile(rf"(?:{_AMOUNT.pattern}\s*)+", re.ASCII)

Choices = list[tuple[str, str]]


def lead_in_words(lead: int) -> str:
    """`45 min`, `24 h`, `1 h 30 min`, for a lead in minutes."""
    hours, rest = divmod(lead, 60)
    return " ".join(f"{count} {unit}" for count, unit in ((hours, "h"), (rest, "min")) if count)


def leads_from(text: str) -> list[int]:
    """The minutes meant by `45 min, 3h, 1 day`. Raises ValidationError: a sentence for each that makes no sense."""
    leads, errors = [], []
    for entry in filter(None, map(str.strip, re.split(r"[,;\n]|\band\b", text.lower()))):
        try:
            leads.append(_lead_from(entry))
        except ValidationError as error:
            errors.append(error)
    if errors:
        raise ValidationError(errors)
    return leads


def _lead_from(entry: str) -> int:
    amounts = [(amount, unit.rstrip("s")) for amount, unit in _AMOUNT.findall(entry)]
    if not _LENGTH.fullmatch(entry) or any(unit not in _UNITS for _, unit in amounts):
        raise ValidationError(f"“{entry}” is not a length of time: write for example 45 min, 3 h or 1 day.")
    lead = sum(Fraction(amount) * _UNITS[unit] for amount, unit in amounts)
    if lead < minutes(SHORTEST_LEAD):
        raise ValidationError(f"“{entry}” is too short: a lead time is at least 10 minutes.")
    if lead > minutes(LONGEST_LEAD):
        raise ValidationError(f"“{entry}” is too long: a lead time is at most 168 hours, which is 7 days.")
    return round(lead)


def words_from(text: str) -> list[str]:
    """The words of `Div. 3, Kotlin`, in lower case, each once. Raises ValidationError where there are too many."""
    typed = (" ".join(word.lower().split()) for word in re.split(r"[,;\n]", text))
    words = list(dict.fromkeys(filter(None, typed)))
    if too_long := [word for word in words if len(word) > LONGEST_WORD]:
        raise ValidationError(
            f"“{too_long[0]}” is too long: a word to leave out has at most {LONGEST_WORD} characters."
        )
    if len(words) > MOST_WORDS:
        raise ValidationError(f"These are {len(words)} words: at most {MOST_WORDS} can be left out.")
    return words


def _platform_choices() -> Choices:
    return list(Platform.objects.values_list("code", "name"))


def _lead_choices() -> Choices:
    return [
        (str(lead), f"{lead_in_words(lead)} (a week)" if lead == 10080 else lead_in_words(lead)) for lead in USUAL_LEADS
    ]


def length_in_words(length: timedelta) -> str:
    """`24 h`, `3 days`, `1 week`, `1 h 30 min`."""
    for unit, one, least in (("week", timedelta(weeks=1), 1), ("day", timedelta(days=1), 2)):
        count, rest = divmod(length, one)
        if not rest and count >= least:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return lead_in_words(minutes(length))


def _length_choices() -> Choices:
    return [("", "any length"), *(_length_choice(timedelta(hours=hours)) for hours in USUAL_LENGTHS)]


def _length_choice(length: timedelta) -> tuple[str, str]:
    return str(minutes(length)), f"at most {length_in_words(length)}"


def _length(value: str) -> timedelta:
    return timedelta(minutes=int(value))


def _hour_choices() -> Choices:
    return [(str(hour), f"{hour:02}:00") for hour in range(24)]


def _zone_choices() -> list[tuple[str, Choices]]:
    """By continent, as the names have it; those without one come last."""
    areas: dict[str, Choices] = {}
    for name in sorted(time_zones(), key=lambda name: ("/" not in name, name)):
        area = name.partition("/")[0] if "/" in name else "Other"
        areas.setdefault(area, []).append((name, name.replace("_", " ")))
    return [("", [("UTC", "UTC")]), *areas.items()]


class LocalMomentField(forms.DateTimeField):
    """A date and a time as a clock on a wall shows them: which moment that is, the zone beside it says."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=LOCAL_MOMENT)
    default_error_messages = {"invalid": "Write a date and a time, such as 2026-12-24 18:00."}

    def to_python(self, value: object) -> datetime | None:
        if not value:
            return None
        for layout in (LOCAL_MOMENT, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"):
            try:
                return datetime.strptime(str(value).strip(), layout)
            except ValueError:
                continue
        raise ValidationError(self.error_messages["invalid"], code="invalid")


def _time_field(label: str) -> forms.TimeField:
    return forms.TimeField(
        label=label,
        required=False,
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
        error_messages={"invalid": "Write a time of day, such as 22:30."},
    )


class PreferenceForm(forms.Form):
    """The member's wishes. Kept apart from the model's other columns: what the service notes there is not theirs."""

    platforms = forms.MultipleChoiceField(
        choices=_platform_choices, required=False, widget=forms.CheckboxSelectMultiple
    )
    trainings = forms.BooleanField(
        label="Daily trainings too", required=False, help_text="Practice contests, such as AtCoder's weekday ones."
    )
    unrated = forms.BooleanField(label="Unrated contests too", required=False)
    longest_contest = forms.TypedChoiceField(
        label="Longest contest",
        choices=_length_choices,
        coerce=_length,
        empty_value=None,
        required=False,
        help_text="What lasts longer is left out, such as marathons of ten days.",
    )
    excluded_words = forms.CharField(
        label="Words to leave out",
        required=False,
        max_length=MOST_WORDS * (LONGEST_WORD + 2),
        help_text="Contests with one of these in their name are left out. Separate them by commas: div. 3, kotlin.",
    )
    usual_leads = forms.TypedMultipleChoiceField(
        label="Lead times", choices=_lead_choices, coerce=int, required=False, widget=forms.CheckboxSelectMultiple
    )
    other_leads = forms.CharField(
        label="Other lead times",
        required=False,
        max_length=200,
        help_text="Such as 45 min, 3 h, 1 day: from 10 minutes to 168 hours.",
    )
    time_zone = forms.ChoiceField(label="Time zone", choices=_zone_choices)
    quiet_from = _time_field("Quiet from")
    quiet_until = _time_field("Quiet until")
    quiet_choice = forms.ChoiceField(
        label="A reminder of these hours comes", choices=Quiet.choices, widget=forms.RadioSelect
    )
    digest = forms.ChoiceField(label="A list of what is ahead", choices=Digest.choices, widget=forms.RadioSelect)
    digest_hour = forms.TypedChoiceField(label="At", choices=_hour_choices, coerce=int)
    digest_weekday = forms.TypedChoiceField(label="On", choices=Weekday.choices, coerce=int)
    paused = forms.BooleanField(label="Pause everything", required=False)
    paused_until = LocalMomentField(
        label="Pause until", required=False, help_text="In your time zone. Without a date: until you take it back."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offer_the_length_there_is()

    def _offer_the_length_there_is(self) -> None:
        """A length that is none of the usual ones, as an import or the staff may have set it, can be kept."""
        there_is, field = self.initial.get("longest_contest"), self.fields["longest_contest"]
        assert isinstance(field, forms.ChoiceField)
        usual = _length_choices()
        if there_is and there_is not in dict(usual):
            field.choices = [*usual, _length_choice(_length(there_is))]

    @classmethod
    def initial_of(cls, preference: Preference) -> dict[str, Any]:
        other = [lead for lead in preference.lead_minutes if lead not in USUAL_LEADS]
        longest, until = preference.longest_contest, preference.paused_until
        return {
            **{name: getattr(preference, name) for name in _AS_THEY_ARE},
            "paused": preference.is_paused,
            "digest_hour": str(preference.digest_hour),
            "digest_weekday": str(preference.digest_weekday),
            "usual_leads": [lead for lead in preference.lead_minutes if lead in USUAL_LEADS],
            "other_leads": ", ".join(map(lead_in_words, sorted(other, reverse=True))),
            "longest_contest": "" if longest is None else str(minutes(longest)),
            "excluded_words": ", ".join(preference.excluded_words),
            "paused_until": _on_the_wall(until, preference.zone) if until and preference.is_paused else None,
        }

    def clean_other_leads(self) -> list[int]:
        return leads_from(self.cleaned_data["other_leads"])

    def clean_excluded_words(self) -> list[str]:
        return words_from(self.cleaned_data["excluded_words"])

    def clean(self) -> dict[str, Any]:
        wishes = {**self.cleaned_data}
        self._clean_leads(wishes)
        self._clean_quiet_hours(wishes)
        self._clean_pause(wishes)
        return wishes

    def _clean_leads(self, wishes: dict[str, Any]) -> None:
        if not {"usual_leads", "other_leads"} <= wishes.keys():
            return
        wishes["lead_minutes"] = _longest_first(wishes["usual_leads"] + wishes["other_leads"])
        if not wishes["lead_minutes"]:
            self.add_error("usual_leads", "Choose at least one lead time.")
        elif len(wishes["lead_minutes"]) > MOST_LEADS:
            self.add_error("usual_leads", f"Choose at most {MOST_LEADS} lead times.")

    def _clean_quiet_hours(self, wishes: dict[str, Any]) -> None:
        if not {"quiet_from", "quiet_until"} <= wishes.keys():
            return
        begin, end = wishes["quiet_from"], wishes["quiet_until"]
        if begin is not None and end is None:
            self.add_error("quiet_until", "Say until when, or leave both empty.")
        elif end is not None and begin is None:
            self.add_error("quiet_from", "Say from when, or leave both empty.")
        elif begin is not None and begin == end:
            self.add_error("quiet_until", "That would be the whole day: to hear nothing at all, pause everything.")

    def _clean_pause(self, wishes: dict[str, Any]) -> None:
        """Of two moments, when clocks go back, the first is meant; of none, when they go forward, what would be it."""
        if not {"paused", "paused_until", "time_zone"} <= wishes.keys():
            return
        until = wishes["paused_until"]
        if until is None:
            return
        if not wishes["paused"]:
            if "paused_until" in self.changed_data:
                self.add_error("paused", "Tick this as well, or leave the date empty.")
            wishes["paused_until"] = None
            return
        zone = ZoneInfo(wishes["time_zone"])
        here = timezone.now().astimezone(zone).replace(tzinfo=None)
        if until <= here:
            self.add_error("paused_until", "That is over already.")
        elif until > here + LONGEST_PAUSE:
            self.add_error(
                "paused_until", "That is more than a year ahead: leave it empty, and end the pause yourself."
            )
        else:
            wishes["paused_until"] = until.replace(tzinfo=zone)

    def save(self, preference: Preference) -> None:
        """Write what the member decides, and nothing of what the service notes in the same row."""
        for name in DECIDED:
            setattr(preference, name, self.cleaned_data[name])
        preference.save(update_fields=DECIDED)


_AS_THEY_ARE = (
    "platforms",
    "trainings",
    "unrated",
    "time_zone",
    "quiet_from",
    "quiet_until",
    "quiet_choice",
    "digest",
    "digest_hour",
    "digest_weekday",
    "paused",
)
DECIDED = (*_AS_THEY_ARE, "lead_minutes", "longest_contest", "excluded_words", "paused_until")
"""The columns that are the member's to decide."""


def _on_the_wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0, second=0, microsecond=0)


def _longest_first(leads: Iterable[int]) -> list[int]:
    return sorted(set(leads), reverse=True)
