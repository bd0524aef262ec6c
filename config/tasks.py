from typing import Any

from celery import shared_task

from config.cleanup import clean_up


@shared_task
def clean_up_data() -> dict[str, Any]:
    """Delete old contests, read notifications, sessions and tokens; mark members inactive who stayed away."""
    return clean_up()
