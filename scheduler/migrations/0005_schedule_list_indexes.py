"""Let the list of a million schedules be ordered by their next runs, and filtered by what is rare.

Those of PeriodicTask are made here, as its migrations are another package's.
"""

from django.db import migrations, models
from django.db.models import Q

SQL = """
CREATE INDEX IF NOT EXISTS periodictask_of_job ON django_celery_beat_periodictask (task, name);
CREATE INDEX IF NOT EXISTS periodictask_off ON django_celery_beat_periodictask (name) WHERE NOT enabled;
"""

UNDO = """
DROP INDEX IF EXISTS periodictask_of_job;
DROP INDEX IF EXISTS periodictask_off;
"""


class Migration(migrations.Migration):
    dependencies = [("scheduler", "0004_admin_indexes")]
    operations = [
        migrations.RemoveIndex("schedule", "schedule_due"),
        migrations.AddIndex("schedule", models.Index(fields=["next_run_at"], name="schedule_due")),
        migrations.AddIndex(
            "schedule",
            models.Index(fields=["periodic_task"], name="schedule_broken", condition=Q(error__gt="")),
        ),
        migrations.AddIndex(
            "run",
            models.Index(
                fields=["schedule", "-created_at"], name="run_failed", condition=Q(status__in=("failed", "lost"))
            ),
        ),
        migrations.RunSQL(SQL, UNDO),
    ]
