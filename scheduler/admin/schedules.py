"""Schedules in Django admin: one box for the cron expression, and what will run when."""

import json
from typing import Any
from zoneinfo import available_timezones

from celery import current_app
from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django_celery_beat import models as beat
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from config.admin import NOTHING, enqueue, moment
from scheduler import schedules

# A schedule is a PeriodicTask with its cron expression beside it; the rows below it are not edited on their own, for
# several schedules may share one.
for model in (
    beat.PeriodicTask,
    beat.CrontabSchedule,
    beat.IntervalSchedule,
    beat.SolarSchedule,
    beat.ClockedSchedule,
):
    admin.site.unregister(model)

# What these pages call them. Migrations are made from what the package itself declares, and so don't see it.
apps.get_app_config("django_celery_beat").verbose_name = "Scheduler"
beat.PeriodicTask._meta.verbose_name = "schedule"
beat.PeriodicTask._meta.verbose_name_plural = "schedules"
beat.PeriodicTask.__str__ = lambda schedule: schedule.name

STATES = {"on": "success", "off": "default", "late": "warning", "broken": "danger"}
"""What a schedule's state is called, and the colour it has."""

LATE = "Its time has come and gone: is the scheduler running (manage.py up, or celery -A config beat)?"
RUNS_SHOWN = 5


def state_of(schedule: beat.PeriodicTask) -> str:
    if not schedule.enabled:
        return "off"
    if schedules.problem(schedule):
        return "broken"
    return "late" if schedules.is_late(schedule, timezone.now()) else "on"


def _small(rows: int) -> UnfoldAdminTextareaWidget:
    return UnfoldAdminTextareaWidget({"rows": rows})


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]  # PeriodicTask is untyped
    task = forms.ChoiceField(label="Job", widget=UnfoldAdminSelectWidget)
    cron = forms.CharField(
        label="Cron expression",
        required=False,
        widget=UnfoldAdminTextInputWidget({"placeholder": "0 */6 * * *", "autocomplete": "off", "spellcheck": "false"}),
        help_text="Minute, hour, day of month, month, day of week. “0 */6 * * *” is every six hours, "
        "“*/30 * * * *” every half hour, “0 2 * * 1-5” at 02:00 on weekdays.",
    )
    zone = forms.ChoiceField(
        label="Time zone",
        initial="UTC",
        choices=[(name, name) for name in sorted(available_timezones())],
        widget=UnfoldAdminSelectWidget,
        help_text="The zone in which the expression is read.",
    )

    class Meta:
        model = beat.PeriodicTask
        fields = ("name", "task", "enabled", "description", "args", "kwargs")
        labels = {"args": "List", "kwargs": "By name"}
        help_texts = {
            "name": "What it is called here and in the logs.",
            "enabled": "Off: it does not run, and what it misses meanwhile is not made up for.",
            "description": "For you and your colleagues: why it exists, who looks after it.",
            "args": "A JSON list, such as [1, 2]. Usually empty.",
            "kwargs": 'A JSON object, such as {"platforms": ["codeforces"]}. Usually empty.',
        }
        widgets = {"description": _small(2), "args": _small(1), "kwargs": _small(2)}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        jobs = schedules.jobs()
        choices = [(name, f"{name} – {title}" if title else name) for name, title in jobs.items()]
        if not self.instance.task:
            choices.insert(0, ("", "Choose a job"))
        elif self.instance.task not in jobs:
            choices.insert(0, (self.instance.task, f"{self.instance.task} – no longer exists"))
        self.fields["task"].choices = choices  # type: ignore[attr-defined]  # a ChoiceField
        if self.instance.crontab:
            self.fields["cron"].initial = schedules.expression(self.instance.crontab)
            self.fields["zone"].initial = str(self.instance.crontab.timezone)

    def clean_cron(self) -> str:
        expression = " ".join(self.cleaned_data["cron"].split())
        if expression:
            schedules.validate_expression(expression)
        elif not (self.instance.interval or self.instance.clocked or self.instance.solar):
            raise ValidationError("A schedule needs a cron expression.")
        return expression

    def clean_args(self) -> str:
        return self._clean_json("args", list)

    def clean_kwargs(self) -> str:
        return self._clean_json("kwargs", dict)

    def _clean_json(self, name: str, kind: "type[list[Any]] | type[dict[str, Any]]") -> str:
        return json.dumps(schedules.parsed(self.cleaned_data[name], kind), ensure_ascii=False)

    def clean(self) -> None:
        super().clean()
        values = self.cleaned_data
        if not {"task", "args", "kwargs"} <= values.keys():
            return
        if values["task"] in schedules.jobs():
            try:
                schedules.validate_arguments(values["task"], json.loads(values["args"]), json.loads(values["kwargs"]))
            except ValidationError as error:
                self.add_error("kwargs", error)
        elif values["enabled"]:
            self.add_error("task", "This job no longer exists: choose another, or turn the schedule off.")

    def _post_clean(self) -> None:
        """Give the row its crontab before the model is asked whether it is valid."""
        expression, zone = self.cleaned_data.get("cron"), self.cleaned_data.get("zone")
        if expression and zone and {"cron", "zone"}.intersection(self.changed_data):
            self.instance.crontab = schedules.unsaved_crontab(expression, zone)
            if self.instance.clocked:
                self.instance.one_off = False  # as what comes once has to be
            self.instance.interval = self.instance.clocked = self.instance.solar = None
        super()._post_clean()  # type: ignore[misc]  # private in Django, and the one hook between clean() and the model

    def validate_unique(self) -> None:
        """Without the model's own complaint that no time is set, where the box for it says better what is wrong."""
        if "cron" not in self.errors and "zone" not in self.errors:
            return super().validate_unique()
        try:
            models.Model.validate_unique(self.instance, exclude=self._get_validation_exclusions())  # type: ignore[attr-defined]  # private in Django
        except ValidationError as error:
            self._update_errors(error)  # type: ignore[attr-defined]  # likewise
        return None


@admin.register(beat.PeriodicTask)
class ScheduleAdmin(ModelAdmin):
    form = ScheduleForm
    list_display = ("name", "state", "enabled", "cron", "in_words", "next_run", "last_run")
    list_editable = ("enabled",)
    list_filter = ("enabled", "task")
    list_select_related = ("crontab", "interval", "solar", "clocked")
    search_fields = ("name", "task", "description")
    search_help_text = "Name, job or description"
    ordering = ("name",)
    readonly_fields = ("in_words", "next_runs", "last_run", "runs")
    actions = ("run_now", "turn_on", "turn_off")
    actions_submit_line = ("save_and_run_now",)

    def get_fieldsets(self, request: HttpRequest, obj: beat.PeriodicTask | None = None) -> Any:
        told = ("in_words", "next_runs", "last_run", "runs") if obj else ()
        return (
            (None, {"fields": ("name", "task", "enabled", "description")}),
            ("When", {"fields": ("cron", "zone", *told)}),
            ("Arguments of the job", {"fields": ("kwargs", "args")}),
        )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[beat.PeriodicTask]":
        return super().get_queryset(request).select_related(*self.list_select_related)  # type: ignore[no-any-return]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        schedule = context.get("original")
        if schedule and request.method == "GET":
            if problem := schedules.problem(schedule):
                messages.warning(request, problem)
            elif schedules.is_late(schedule, timezone.now()):
                messages.warning(request, LATE)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    @display(description="state", label=STATES)
    def state(self, schedule: beat.PeriodicTask) -> str:
        return state_of(schedule)

    @admin.display(description="cron expression")
    def cron(self, schedule: beat.PeriodicTask) -> str:
        return schedules.expression(schedule.crontab) if schedule.crontab else NOTHING

    @admin.display(description="time zone")
    def zone(self, schedule: beat.PeriodicTask) -> str:
        return str(schedule.crontab.timezone) if schedule.crontab else NOTHING

    @admin.display(description="in words")
    def in_words(self, schedule: beat.PeriodicTask) -> str:
        return schedules.in_words(schedule)

    @admin.display(description="next run")
    def next_run(self, schedule: beat.PeriodicTask) -> str:
        if not schedule.enabled or not schedule.crontab:
            return NOTHING
        return moment(schedules.next_run(schedule.crontab, timezone.now()))

    @admin.display(description="next runs")
    def next_runs(self, schedule: beat.PeriodicTask) -> str:
        if not schedule.crontab:
            return NOTHING
        runs = schedules.next_runs(schedule.crontab, timezone.now(), RUNS_SHOWN)
        when = format_html_join("", "<p>{}</p>", ((moment(run),) for run in runs)) or NOTHING
        return when if schedule.enabled else format_html("<p>None, for it is off. Were it on:</p>{}", when)

    @admin.display(description="last run", ordering="last_run_at")
    def last_run(self, schedule: beat.PeriodicTask) -> str:
        if schedule.last_run_at:
            return moment(schedule.last_run_at)
        return "not since its last edit" if schedule.total_run_count else "never"

    @admin.display(description="runs so far")
    def runs(self, schedule: beat.PeriodicTask) -> int:
        return int(schedule.total_run_count)

    def save_model(
        self, request: HttpRequest, obj: beat.PeriodicTask, form: "forms.ModelForm[Any]", change: bool
    ) -> None:
        """Save what staff decide.

        1. Lock the row and take over what the scheduler noted in it since it was read.
        2. Find or make the row of the crontab; never change one, for other schedules may refer to it.
        3. Where it is to run at other times than before, forget its last run: from that the scheduler reckons when it
           would have run next, and enabling or editing never fires the past.
        4. Delete the crontab that nobody uses any more.
        """
        with transaction.atomic():
            before = (
                beat.PeriodicTask.objects.select_for_update(of=("self",))
                .select_related("crontab")
                .filter(pk=obj.pk)
                .first()
            )
            if obj.crontab and obj.crontab.pk is None:
                same = before and before.crontab and _reads(before.crontab) == _reads(obj.crontab)
                obj.crontab = before.crontab if same else schedules.stored(obj.crontab)
            if before:
                obj.last_run_at, obj.total_run_count = before.last_run_at, before.total_run_count
                if before.crontab_id != obj.crontab_id or (obj.enabled and not before.enabled):
                    obj.last_run_at = None
            super().save_model(request, obj, form, change)
            if before:
                schedules.forget_unused_crontabs(before.crontab_id)

    def delete_model(self, request: HttpRequest, obj: beat.PeriodicTask) -> None:
        with transaction.atomic():
            super().delete_model(request, obj)
            schedules.forget_unused_crontabs(obj.crontab_id)

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[beat.PeriodicTask]") -> None:
        with transaction.atomic():
            crontabs = list(queryset.values_list("crontab", flat=True))
            super().delete_queryset(request, queryset)
            schedules.forget_unused_crontabs(*crontabs)

    @admin.action(description="Turn on", permissions=["change"])
    def turn_on(self, request: HttpRequest, queryset: "QuerySet[beat.PeriodicTask]") -> None:
        self._turn(request, queryset, on=True)

    @admin.action(description="Turn off", permissions=["change"])
    def turn_off(self, request: HttpRequest, queryset: "QuerySet[beat.PeriodicTask]") -> None:
        self._turn(request, queryset, on=False)

    def _turn(self, request: HttpRequest, queryset: "QuerySet[beat.PeriodicTask]", *, on: bool) -> None:
        with transaction.atomic():
            turned = list(queryset.exclude(enabled=on))
            beat.PeriodicTask.objects.filter(pk__in=[schedule.pk for schedule in turned]).update(
                enabled=on, last_run_at=None, date_changed=timezone.now()
            )
            beat.PeriodicTasks.update_changed()
            for schedule in turned:
                self.log_change(request, schedule, f"Turned {'on' if on else 'off'}.")
        what = "1 schedule was" if len(turned) == 1 else f"{len(turned)} schedules were"
        self.message_user(request, f"{what} turned {'on' if on else 'off'}.")

    @admin.action(description="Run now", permissions=["change"])
    def run_now(self, request: HttpRequest, queryset: "QuerySet[beat.PeriodicTask]") -> None:
        for schedule in queryset:
            self._run(request, schedule)

    @action(description="Save and run now", permissions=["change"])
    def save_and_run_now(self, request: HttpRequest, obj: beat.PeriodicTask) -> None:
        self._run(request, obj)

    def _run(self, request: HttpRequest, schedule: beat.PeriodicTask) -> None:
        """Ask for it once, as the scheduler would; its own times stay what they are."""
        try:
            task = current_app.tasks[schedule.task] if schedule.task in schedules.jobs() else None
            if task is None:
                raise ValidationError(f"There is no job called “{schedule.task}” any more.")
            args, kwargs = schedules.parsed(schedule.args, list), schedules.parsed(schedule.kwargs, dict)
            schedules.validate_arguments(schedule.task, args, kwargs)
        except ValidationError as error:
            messages.error(request, f"“{schedule.name}” could not be started. {' '.join(error.messages)}")
            return
        options = {name: getattr(schedule, name) for name in ("queue", "exchange", "routing_key", "priority")}
        job = task.s(*args, **kwargs).set(**{name: value for name, value in options.items() if value is not None})
        enqueue(request, job, f"“{schedule.name}”")
        self.log_change(request, schedule, "Run now.")


def _reads(crontab: beat.CrontabSchedule) -> tuple[str, str]:
    return schedules.expression(crontab), str(crontab.timezone)
