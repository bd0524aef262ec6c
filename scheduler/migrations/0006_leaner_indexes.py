"""Keep runs that no schedule asked for out of the indexes of schedules: each task that is sent paid for them thrice."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("scheduler", "0005_schedule_list_indexes")]
    operations = [
        migrations.RemoveConstraint("run", "run_once_per_occurrence"),
        migrations.AddConstraint(
            "run",
            models.UniqueConstraint(
                fields=["schedule", "occurrence"],
                name="run_once_per_occurrence",
                condition=Q(occurrence__isnull=False),
            ),
        ),
        migrations.RemoveIndex("run", "run_of_schedule"),
        migrations.AddIndex(
            "run",
            models.Index(
                fields=["schedule", "-created_at"], name="run_of_schedule", condition=Q(schedule__isnull=False)
            ),
        ),
    ]
