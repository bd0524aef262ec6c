from typing import Annotated, Any

from celery import Task, shared_task
from pydantic import Field

from config.cleanup import clean_up
from config.mail import Line, MailAddress, MailDelayed, mail_to, one_address, one_line, send_each
from config.report import ReportFailed, report_to_staff

SEVERAL_TIMES = {"max_retries": 5, "retry_backoff": 60}
"""After a minute, two, four … at most: a mail server that greylists or restarts takes its time."""


@shared_task(title="Clean up data")
def clean_up_data() -> dict[str, Any]:
    """Delete old contests, read notifications, sessions and tokens; mark members inactive who stayed away."""
    return clean_up()


@shared_task(bind=True, title="Send email", autoretry_for=(MailDelayed,), **SEVERAL_TIMES)
def send_email(
    self: "Task[..., dict[str, Any]]",
    to: MailAddress | Annotated[list[MailAddress], Field(min_length=1)],
    subject: Line,
    body: str,
) -> dict[str, Any]:
    """Send a mail of plain text.

    `to` is a mail address, or a list of them: each gets a mail of its own and sees no other. `subject` is one line of
    text. `body` is the text, in as many lines as it takes. A server that is out of reach is tried again; where it
    refuses an address the run fails with the reason, after the mails to all others have left.
    """
    addresses = list(dict.fromkeys(map(one_address, [to] if isinstance(to, str) else to)))
    if not addresses:
        raise ValueError("There is nobody to send to.")
    one_line(subject)
    send_each([mail_to(address, subject, body, run=self.request.id) for address in addresses])
    return {"sent": len(addresses)}


@shared_task(bind=True, title="Report to staff", autoretry_for=(MailDelayed, ReportFailed), **SEVERAL_TIMES)
def report(self: "Task[[], dict[str, Any]]") -> dict[str, Any]:
    """Send the figures of the last seven days by mail to every active member of staff who has an address.

    How runs, reminders and platforms fared must be known, or no report is sent and the run fails with the reason.
    Other sections that cannot be computed are left out, and the mail says so.
    """
    return report_to_staff(self.request.id)
