"""What a member may ask for on the page of preferences."""

import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from contests.models import Platform
from notifications.models import LONGEST_LEAD, MOST_LEADS, SHORTEST_LEAD, Preference, minutes, time_zones

USUAL_LEADS = (10, 15, 30, 60, 120, 360, 720, 1440, 2880, 4320, 10080)
"""Minutes; other values are typed."""

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


def _platform_choices() -> Choices:
    return list(Platform.objects.values_list("code", "name"))


def _lead_choices() -> Choices:
    return [
        (str(lead), f"{lead_in_words(lead)} (a week)" if lead == 10080 else lead_in_words(lead)) for lead in USUAL_LEADS
    ]


def _zone_choices() -> list[tuple[str, Choices]]:
    """By continent, as the names have it; those without one come last."""
    areas: dict[str, Choices] = {}
    for name in sorted(time_zones(), key=lambda name: ("/" not in name, name)):
        area = name.partition("/")[0] if "/" in name else "Other"
        areas.setdefault(area, []).append((name, name.replace("_", " ")))
    return [("", [("UTC", "UTC")]), *areas.items()]


class PreferenceForm(forms.Form):
    """The member's wishes. Kept apart from the model's other columns: what the service notes there is not theirs."""

    platforms = forms.MultipleChoiceField(
        choices=_platform_choices, required=False, widget=forms.CheckboxSelectMultiple
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
    trainings = forms.BooleanField(
        label="Daily trainings too", required=False, help_text="Practice contests, such as AtCoder's weekday ones."
    )
    paused = forms.BooleanField(
        label="Pause all reminders", required=False, help_text="Nothing is sent until you untick this."
    )

    @classmethod
    def initial_of(cls, preference: Preference) -> dict[str, Any]:
        other = [lead for lead in preference.lead_minutes if lead not in USUAL_LEADS]
        return {
            "platforms": preference.platforms,
            "usual_leads": [lead for lead in preference.lead_minutes if lead in USUAL_LEADS],
            "other_leads": ", ".join(map(lead_in_words, sorted(other, reverse=True))),
            "time_zone": preference.time_zone,
            "trainings": preference.trainings,
            "paused": preference.paused,
        }

    def clean_other_leads(self) -> list[int]:
        return leads_from(self.cleaned_data["other_leads"])

    def clean(self) -> dict[str, Any]:
        wishes = {**self.cleaned_data}
        if not {"usual_leads", "other_leads"} <= wishes.keys():
            return wishes
        wishes["lead_minutes"] = _longest_first(wishes["usual_leads"] + wishes["other_leads"])
        if not wishes["lead_minutes"]:
            self.add_error("usual_leads", "Choose at least one lead time.")
        elif len(wishes["lead_minutes"]) > MOST_LEADS:
            self.add_error("usual_leads", f"Choose at most {MOST_LEADS} lead times.")
        return wishes

    def save(self, preference: Preference) -> None:
        """Write what the member decides, and nothing of what the service notes in the same row."""
        decided = ("platforms", "lead_minutes", "time_zone", "trainings", "paused")
        for name in decided:
            setattr(preference, name, self.cleaned_data[name])
        preference.save(update_fields=decided)


def _longest_first(leads: Iterable[int]) -> list[int]:
    return sorted(set(leads), reverse=True)
