"""The part of a form that asks how long a pause shall last."""

from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminSplitDateTimeWidget

LENGTHS = {"15": "15 minutes", "60": "1 hour", "240": "4 hours", "1440": "1 day"}
"""Minutes, and what a person calls them."""

UNTIL_RESUMED, UNTIL_THEN = "", "until"


class HowLong(forms.Form):
    """After it is cleaned, `until` is the end of the pause, or None where somebody has to resume it."""

    length = forms.ChoiceField(
        label="For how long",
        required=False,
        initial=UNTIL_RESUMED,
        choices=[
            (UNTIL_RESUMED, "until somebody resumes it"),
            *LENGTHS.items(),
            (UNTIL_THEN, "until the time below"),
        ],
        widget=UnfoldAdminRadioSelectWidget,
    )
    until = forms.SplitDateTimeField(label="Until", required=False, widget=UnfoldAdminSplitDateTimeWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["until"].help_text = f"In {timezone.get_current_timezone_name()}."

    def clean(self) -> None:
        super().clean()
        now = timezone.now()
        match self.cleaned_data.get("length"):
            case "until":
                until = self.cleaned_data.get("until")
                if "until" not in self.errors and (until is None or until <= now):
                    self.add_error("until", "Choose a time that is still to come.")
            case "":
                self.cleaned_data["until"] = None
            case str() as minutes:
                self.cleaned_data["until"] = now + timedelta(minutes=int(minutes))
