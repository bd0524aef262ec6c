"""Schedules in Django admin: one box for the cron expression, and what will run when."""

import json
from datetime import datetime
from typing import Any
from zoneinfo import available_timezones

from celery import current_app
from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django_celery_beat import models as beat
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from config.admin import enqueue
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


def registered_tasks() -> list[tuple[str, str]]:
    current_app.loader.import_default_modules()
    return [(name, name) for name in sorted(current_app.tasks) if not name.startswith("celery.")]


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]  # PeriodicTask is untyped
    task = forms.ChoiceField(label="job", choices=registered_tasks, widget=UnfoldAdminSelectWidget)
    cron = forms.CharField(
        label="cron expression",
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Minute, hour, day of month, month, day of week. “0 */6 * * *” is every six hours, "
        "“*/30 * * * *” every half hour, “0 2 * * 1-5” at 02:00 on weekdays.",
    )
    zone = forms.ChoiceField(
        label="time zone",
        initial="UTC",
        choices=lambda: [(name, name) for name in sorted(available_timezones())],
        widget=UnfoldAdminSelectWidget,
        help_text="The zone in which the expression is read.",
    )

    class Meta:
        model = beat.PeriodicTask
        fields = ("name", "task", "enabled", "description", "args", "kwargs")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
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
        return self._clean_json("args", list, "a list, such as [] or [1, 2]")

    def clean_kwargs(self) -> str:
        return self._clean_json("kwargs", dict, 'an object, such as {} or {"platforms": ["codeforces"]}')

    def _clean_json(self, name: str, kind: type, example: str) -> str:
        text: str = self.cleaned_data[name] or json.dumps(kind())
        try:
            value = json.loads(text)
        except ValueError as error:
            raise ValidationError(f"This is not JSON: {error}") from error
        if not isinstance(value, kind):
            raise ValidationError(f"This must be {example}.")
        return text

    def _post_clean(self) -> None:
        """Give the row its crontab before the model is asked whether it is valid."""
        if expression := self.cleaned_data.get("cron"):
            crontab = schedules.unsaved_crontab(expression, self.cleaned_data.get("zone", "UTC"))
            self.instance.crontab = crontab
            self.instance.interval = self.instance.clocked = self.instance.solar = None
        super()._post_clean()  # type: ignore[misc]  # private in Django, and the one hook between clean() and the model


@admin.register(beat.PeriodicTask)
class ScheduleAdmin(ModelAdmin):
    form = ScheduleForm
    fieldsets = (
        (None, {"fields": ("name", "task", "enabled", "description")}),
        ("When", {"fields": ("cron", "zone", "in_words", "next_run", "last_run_at", "total_run_count")}),
        ("Arguments", {"fields": ("args", "kwargs")}),
    )
    readonly_fields = ("in_words", "next_run", "last_run_at", "total_run_count")
    list_display = ("name", "enabled", "cron", "in_words", "zone", "next_run", "last_run_at", "total_run_count")
    list_editable = ("enabled",)
    list_filter = ("enabled", "task")
    list_select_related = ("crontab", "interval", "solar", "clocked")
    search_fields = ("name", "task")
    ordering = ("name",)
    actions = ("run_now",)
    actions_submit_line = ("save_and_run_now",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[beat.PeriodicTask]":
        return super().get_queryset(request).select_related(*self.list_select_related)  # type: ignore[no-any-return]

    @admin.display(description="cron")
    def cron(self, schedule: beat.PeriodicTask) -> str:
        return schedules.expression(schedule.crontab) if schedule.crontab else str(schedule.schedule)

    @admin.display(description="in words")
    def in_words(self, schedule: beat.PeriodicTask) -> str:
        return schedules.in_words(schedule.crontab) if schedule.crontab else "–"

    @admin.display(description="time zone")
    def zone(self, schedule: beat.PeriodicTask) -> str:
        return str(schedule.crontab.timezone) if schedule.crontab else "–"

    @display(description="next run (UTC)")
    def next_run(self, schedule: beat.PeriodicTask) -> datetime | str:
        if not schedule.enabled or not schedule.crontab:
            return "–"
        return schedules.next_run(schedule.crontab, timezone.now()) or "never"

    def save_model(self, request: HttpRequest, obj: beat.PeriodicTask, form: ScheduleForm, change: bool) -> None:
        with transaction.atomic():
            before = beat.PeriodicTask.objects.filter(pk=obj.pk).values_list("crontab", flat=True).first()
            if obj.crontab and obj.crontab.pk is None:
                obj.crontab = schedules.stored(obj.crontab)
            super().save_model(request, obj, form, change)
            schedules.forget_unused_crontab(before)

    @admin.action(description="Run now", permissions=["change"])
    def run_now(self, request: HttpRequest, queryset: "QuerySet[beat.PeriodicTask]") -> None:
        for schedule in queryset:
            self._run(request, schedule)

    @action(description="Save and run now", permissions=["change"])
    def save_and_run_now(self, request: HttpRequest, obj: beat.PeriodicTask) -> None:
        self._run(request, obj)

    def _run(self, request: HttpRequest, schedule: beat.PeriodicTask) -> None:
        current_app.loader.import_default_modules()
        task = current_app.tasks.get(schedule.task)
        if task is None:
            self.message_user(request, f"There is no job called “{schedule.task}” any more.", level="ERROR")
            return
        enqueue(request, task.s(*json.loads(schedule.args), **json.loads(schedule.kwargs)), f"“{schedule.name}”")
