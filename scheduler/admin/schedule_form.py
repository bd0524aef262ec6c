"""The form of a schedule: one box for the cron expression, and every value checked before it can stop a run."""

import json
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, IntervalSchedule, PeriodicTask
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from scheduler import schedules
from scheduler.jobs import Job, jobs, parsed, validate_headers
from scheduler.models import Event, Priority, RunEvent, Schedule
from scheduler.tick import sentence
from scheduler.timing import Timing, next_occurrence, timing_of

CRON, INTERVAL, CLOCKED, DELAY = "cron", "interval", "clocked", "delay"
KINDS = {
    CRON: "By a cron expression",
    INTERVAL: "Every so often",
    CLOCKED: "Once, at a time",
    DELAY: "Once, so long after it starts",
}
PERIODS = ("seconds", "minutes", "hours", "days")
LONGEST = timedelta(days=100 * 365)

NOT_STORED = 0
"""A key for rows that only exist to be asked when they come."""


def _one(period: str) -> timedelta:
    return timedelta(**{period: 1})


def _moment_field(label: str, help_text: str) -> forms.SplitDateTimeField:
    widget = UnfoldAdminSplitDateTimeWidget()
    return forms.SplitDateTimeField(label=label, required=False, widget=widget, help_text=help_text)


class TimingForm(forms.Form):
    """When a schedule comes, as staff type it. The preview while typing asks the same questions as the page."""

    kind = forms.ChoiceField(
        label="When it runs", choices=list(KINDS.items()), initial=CRON, widget=UnfoldAdminRadioSelectWidget
    )
    cron = forms.CharField(
        label="Cron expression",
        required=False,
        widget=UnfoldAdminTextInputWidget(
            {"placeholder": "0 */6 * * *", "autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}
        ),
        help_text="Minute, hour, day of the month, month, day of the week; six fields have seconds first. "
        "“0 */6 * * *” is every six hours, “*/30 * * * *” every half hour, “0 2 * * mon-fri” at 02:00 on weekdays, "
        "“@daily” at midnight.",
    )
    zone = forms.ChoiceField(
        label="Time zone",
        initial="UTC",
        choices=[(name, name) for name in sorted(available_timezones())],
        widget=UnfoldAdminSelectWidget,
        help_text="The zone in which the expression is read.",
    )
    every = forms.IntegerField(
        label="How often", required=False, min_value=1, max_value=2**31 - 1, widget=UnfoldAdminIntegerFieldWidget
    )
    period = forms.ChoiceField(
        label="Unit",
        required=False,
        initial="minutes",
        choices=[(period, period) for period in PERIODS],
        widget=UnfoldAdminSelectWidget,
    )
    clocked_time = _moment_field("At", "Date and time in UTC.")
    one_off = forms.BooleanField(
        label="One time only",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="It turns itself off when it has come the next time.",
    )
    start_time = _moment_field(
        "Starts", "In UTC. Nothing of it comes before; an interval counts from here. Empty: it counts from now."
    )
    expires = _moment_field("Ends", "In UTC. Nothing of it comes after.")

    def clean_cron(self) -> str:
        expression = str(self.cleaned_data["cron"])
        if self._kind() != CRON:
            return expression
        if not expression.strip():
            raise ValidationError("A schedule by a cron expression needs one.")
        schedules.unsaved_crontab(expression, "UTC")
        return expression

    def clean_every(self) -> int | None:
        every: int | None = self.cleaned_data["every"]
        if self._kind() in (INTERVAL, DELAY) and every is None:
            raise ValidationError("Say a number from 1.")
        return every

    def clean_clocked_time(self) -> datetime | None:
        at: datetime | None = self.cleaned_data["clocked_time"]
        if self._kind() != CLOCKED:
            return at
        if at is None:
            raise ValidationError("Say when, with date and time.")
        if at <= timezone.now() and ("clocked_time" in self.changed_data or "kind" in self.changed_data):
            raise ValidationError("This time is over: choose one that is still to come.")
        return at

    def clean(self) -> None:
        super().clean()
        values = self.cleaned_data
        start, end = values.get("start_time"), values.get("expires")
        if start and end and end <= start:
            self.add_error("expires", "It would end before it starts.")
        every, period = values.get("every"), values.get("period")
        if self._kind() in (INTERVAL, DELAY) and every and period in PERIODS and every > LONGEST / _one(period):
            self.add_error("every", "This is longer than a hundred years.")

    def _kind(self) -> str:
        return str(self.cleaned_data.get("kind", ""))

    def times(self) -> tuple[str, dict[str, Any]]:
        """The field for seconds, and fields of a PeriodicTask, with rows that are not stored. Of valid forms only."""
        values = self.cleaned_data
        fields: dict[str, Any] = {"crontab": None, "interval": None, "clocked": None, "solar": None, "one_off": True}
        seconds = ""
        match self._kind():
            case "cron":
                seconds, fields["crontab"] = schedules.unsaved_crontab(values["cron"], values["zone"])
                fields["one_off"] = values["one_off"]
            case "clocked":
                fields["clocked"] = ClockedSchedule(clocked_time=values["clocked_time"])
            case kind:
                fields["interval"] = IntervalSchedule(every=values["every"], period=values["period"])
                fields["one_off"] = kind == DELAY
        return seconds, fields

    def timing(self, anchor: datetime) -> Timing:
        """When it would come; intervals count from `anchor` where no start is given. Of valid forms only."""
        seconds, fields = self.times()
        for row in filter(None, (fields["crontab"], fields["interval"], fields["clocked"])):
            row.pk = NOT_STORED
        limits = {name: self.cleaned_data[name] for name in ("start_time", "expires")}
        return timing_of(PeriodicTask(**fields, **limits), seconds, anchor)

    def words(self) -> str:
        """When it would come, in words. Of valid forms only."""
        seconds, fields = self.times()
        task = PeriodicTask(**fields)
        task.scheduling = Schedule(seconds=seconds)
        return schedules.in_words(task)


TIMING_FIELDS = tuple(TimingForm.base_fields)


def timing_as_typed(task: PeriodicTask) -> dict[str, Any]:
    """What the form's fields for times hold for a row, whoever made it."""
    typed: dict[str, Any] = {"kind": "", "one_off": False, "start_time": task.start_time, "expires": task.expires}
    if task.crontab:
        expression, zone = schedules.expression(task), str(task.crontab.timezone)
        return {**typed, "kind": CRON, "cron": expression, "zone": zone, "one_off": task.one_off}
    if task.interval:
        kind = DELAY if task.one_off else INTERVAL
        return {**typed, "kind": kind, "every": task.interval.every, "period": task.interval.period}
    if task.clocked:
        return {**typed, "kind": CLOCKED, "clocked_time": task.clocked.clocked_time}
    return typed


# --- What a Schedule has besides -------------------------------------------------------------------------------------


def _own_field(field: "models.Field[Any, Any]", **kwargs: Any) -> forms.Field | None:
    widget = UnfoldAdminSelectWidget if field.choices else UnfoldAdminIntegerFieldWidget
    return field.formfield(**{**kwargs, "widget": widget})


POLICIES = tuple(name for name in schedules.OWN_FIELDS if name not in ("owner", "seconds"))
"""What staff decide of a Schedule, but for what is asked for otherwise."""

OwnFields = type("OwnFields", (forms.Form,), forms.fields_for_model(Schedule, POLICIES, formfield_callback=_own_field))


class ScheduleForm(TimingForm, OwnFields, forms.ModelForm):  # type: ignore[misc, valid-type, type-arg]  # a class made of model fields; PeriodicTask is untyped
    task = forms.ChoiceField(label="Job", widget=UnfoldAdminSelectWidget)
    owner = forms.ModelChoiceField(
        User.objects.none(),
        required=False,
        empty_label="nobody",
        widget=UnfoldAdminSelectWidget,
        help_text="Who looks after it.",
    )
    priority = forms.TypedChoiceField(
        choices=Priority.choices,
        coerce=int,
        initial=Priority.NORMAL,
        widget=UnfoldAdminSelectWidget,
        help_text="What is more urgent starts first, where several runs wait.",
    )
    expire_seconds = forms.IntegerField(
        label="Longest wait for a worker",
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Seconds after which a run that has not started does not start any more; empty: it waits.",
    )
    queue = forms.CharField(
        required=False,
        max_length=47,
        validators=[RegexValidator(r"^[A-Za-z0-9_.-]+\Z", "A queue's name has letters, digits and the signs _ . -")],
        widget=UnfoldAdminTextInputWidget,
        help_text="Where workers of your own listen; empty: the usual one.",
    )
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = PeriodicTask
        fields = (
            *("name", "task", "enabled", "description", "one_off", "start_time", "expires", "expire_seconds"),
            *("args", "kwargs", "headers", "queue", "priority"),
        )
        labels = {"args": "As a list", "kwargs": "By name", "enabled": "On"}
        help_texts = {
            "name": "What it is called here and in the logs.",
            "enabled": "Off: it does not run, and what it misses meanwhile is not made up for.",
            "description": "For you and your colleagues: why it exists.",
            "args": "A JSON list, such as [1, 2]. Usually empty.",
            "kwargs": 'A JSON object, such as {"platforms": ["codeforces"]}.',
            "headers": "A JSON object that its messages carry besides Celery's own headers. Usually empty.",
        }
        widgets = {
            "description": UnfoldAdminTextareaWidget({"rows": 2}),
            "args": UnfoldAdminTextareaWidget({"rows": 1, "spellcheck": "false"}),
            "kwargs": UnfoldAdminTextareaWidget({"rows": 3, "spellcheck": "false"}),
            "headers": UnfoldAdminTextareaWidget({"rows": 1, "spellcheck": "false"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        task = self.instance
        self.fields["task"].choices = self._jobs()  # type: ignore[attr-defined]  # a ChoiceField
        self.fields["owner"].queryset = _possible_owners(task)  # type: ignore[attr-defined]  # a ModelChoiceField
        if task.pk:
            own = {name: getattr(task.scheduling, name) for name in schedules.OWN_FIELDS}
            priority = Priority.of(task.priority)
            typed = {**own, **timing_as_typed(task), "priority": priority, "seen": _version_of(task)}
            self.initial = {**self.initial, **typed}
            if task.interval and task.interval.period not in PERIODS:
                self.fields["period"].choices += [(task.interval.period,) * 2]  # type: ignore[attr-defined]  # a ChoiceField

    def _jobs(self) -> list[tuple[str, str]]:
        choices = [(job.name, f"{job.title} – {job.name}") for job in jobs().values()]
        if not self.instance.task:
            return [("", "Choose a job"), *choices]
        if self.instance.task not in jobs():
            return [(self.instance.task, f"{self.instance.task} – cannot be scheduled"), *choices]
        return choices

    @property
    def job(self) -> Job | None:
        return jobs().get(self.cleaned_data.get("task", ""))

    def clean_args(self) -> str:
        return self._clean_json("args", list)

    def clean_kwargs(self) -> str:
        return self._clean_json("kwargs", dict)

    def _clean_json(self, name: str, kind: "type[list[Any]] | type[dict[str, Any]]") -> str:
        return json.dumps(parsed(self.cleaned_data[name], kind), ensure_ascii=False)

    def clean_headers(self) -> str:
        return json.dumps(validate_headers(self.cleaned_data["headers"]), ensure_ascii=False)

    def clean_priority(self) -> int | None:
        """The number as it is where nobody chose another level: rows from elsewhere have any."""
        chosen: int = self.cleaned_data["priority"]
        now_there: int | None = self.instance.priority if self.instance.pk else chosen
        return now_there if chosen == Priority.of(now_there) else chosen

    def clean(self) -> None:
        super().clean()
        self._require_nobody_else_edited()
        self._check_job()
        values = self.cleaned_data
        if values.get("expire_seconds") and values.get("expires"):
            self.add_error("expire_seconds", "Give this or an end of the schedule, not both: only one can be kept.")
        first, longest = values.get("retry_backoff"), values.get("retry_backoff_max")
        if first is not None and longest is not None and longest < first:
            self.add_error("retry_backoff_max", "The longest wait is shorter than the first.")
        if not self.errors:
            self._require_a_next_run()

    def _require_nobody_else_edited(self) -> None:
        """Lock the schedule, which is the first step of saving it, and compare it with what the page showed."""
        if not self.instance.pk:
            return
        (now_there,) = schedules.locked([self.instance.pk]) or (None,)
        if now_there is None:
            raise ValidationError("Somebody deleted this schedule while you had its page open.")
        if self.cleaned_data["seen"] in ("", _version_of(now_there)):
            return
        edit = RunEvent.objects.filter(schedule=now_there.pk, kind=Event.EDITED).order_by("-at").first()
        who = f"{edit.actor} changed this schedule" if edit else "This schedule was changed"
        raise ValidationError(f"{who} while you had its page open. Nothing of yours is saved: open it again first.")

    def _check_job(self) -> None:
        values = self.cleaned_data
        if "task" not in values:
            return
        if self.job is None:
            if values.get("enabled"):
                self.add_error("task", "This job cannot be scheduled: choose another, or turn the schedule off.")
        elif {"args", "kwargs"} <= values.keys():
            try:
                self.job.validate(json.loads(values["args"]), json.loads(values["kwargs"]))
            except ValidationError as error:
                self.add_error("kwargs", error)

    def _require_a_next_run(self) -> None:
        """Refuse to turn on, or to give a time, what would never run; what has ended may be described anew."""
        now = timezone.now()
        decided = {"enabled", *TIMING_FIELDS}.intersection(self.changed_data)
        try:
            if self.cleaned_data["enabled"] and decided and next_occurrence(self.timing(now), now) is None:
                self.add_error(
                    "enabled", "It would never run: its time, or its end, is over. Change it, or turn it off."
                )
        except (ValidationError, ValueError) as error:
            self.add_error("kind", sentence(error))

    def own_values(self) -> dict[str, Any]:
        """Fields of a Schedule. Of valid forms only."""
        seconds, _ = self.times()
        return {
            **{name: self.cleaned_data[name] for name in schedules.OWN_FIELDS if name != "seconds"},
            "seconds": seconds,
        }

    def _post_clean(self) -> None:
        """Give the row its times before the model is asked whether it is valid."""
        if not {*TIMING_FIELDS}.intersection(self.errors) and "kind" in self.cleaned_data:
            _, fields = self.times()
            for name, value in fields.items():
                setattr(self.instance, name, value)
            self.cleaned_data["one_off"] = fields["one_off"]
        super()._post_clean()  # private in Django, and the one hook between clean() and the model
        self._check_own()

    def _check_own(self) -> None:
        names = [name for name in POLICIES if name in self.cleaned_data]
        own = Schedule(**{name: self.cleaned_data[name] for name in names})
        try:
            own.clean_fields(exclude=[field.name for field in Schedule._meta.fields if field.name not in names])
        except ValidationError as error:
            self._update_errors(error)

    def validate_unique(self) -> None:
        """Without the model's own complaint that no time is set, where the box for it says better what is wrong."""
        if not {*TIMING_FIELDS}.intersection(self.errors):
            return super().validate_unique()
        try:
            models.Model.validate_unique(self.instance, exclude=self._get_validation_exclusions())
        except ValidationError as error:
            self._update_errors(error)
        return None


def _possible_owners(task: PeriodicTask) -> "models.QuerySet[User]":
    may = Q(is_staff=True, is_active=True)
    if task.pk and task.scheduling.owner_id:
        may |= Q(pk=task.scheduling.owner_id)
    return User.objects.filter(may).order_by("username")


def _version_of(task: PeriodicTask) -> str:
    """Whatever differs when somebody edited it; or when it came, had it to come only once."""
    return f"{task.date_changed.isoformat()} {task.enabled}"
