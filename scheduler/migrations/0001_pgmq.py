"""Install PGMQ, the default message broker, as plain SQL: no extension, so any PostgreSQL from 14 on will do.

The SQL is the one that the package pgmq brings. It cannot be run twice, so it is run only where its schema is missing:
this migration may run again, and it leaves alone what an extension of the same name has installed.
"""

from django.db import migrations
from pgmq.install import get_embedded_install_sql


def install(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('pgmq.meta') IS NOT NULL")
        (installed,) = cursor.fetchone()
        if not installed:
            cursor.connection.execute(get_embedded_install_sql())


class Migration(migrations.Migration):
    initial = True
    dependencies = [("django_celery_beat", "0001_initial")]
    operations = [migrations.RunPython(install, migrations.RunPython.noop, elidable=False)]
