"""Django admin as staff use it: pages that are read, forms that are filled in as they came and sent."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bs4 import BeautifulSoup
from celery import current_app
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from kombu import Connection, pools

from tests.factories import UserFactory

QUEUE = "codenotify"


class Page:
    """What a member of staff sees; white space as a browser shows it."""

    def __init__(self, client: Client, path: str, response: Any = None) -> None:
        self._client, self._path = client, path
        self.response = response or client.get(path, follow=True)
        assert self.response.status_code == 200, f"{path}: {self.response.status_code}"
        self.html = self.response.content.decode()
        self.soup = BeautifulSoup(self.html, "lxml")
        self.text = " ".join(self.soup.get_text(" ").split())

    def texts(self, selector: str) -> list[str]:
        return [" ".join(element.get_text(" ").split()) for element in self.soup.select(selector)]

    @property
    def messages(self) -> list[str]:
        return [str(message) for message in self.response.context["messages"]]

    @property
    def errors(self) -> dict[str, list[str]]:
        """By field; those of the whole form are under `__all__`."""
        return dict(self.response.context["errors"] and self.response.context["adminform"].form.errors)

    def row(self, name: str) -> dict[str, str]:
        """The row of a list in which something is called so, by column."""
        (row,) = (row for row in self.soup.select("#result_list tbody tr") if name in row.get_text())
        cells = row.select("th, td")
        return {str(cell["data-label"]).lower(): " ".join(cell.get_text(" ").split()) for cell in cells}

    @property
    def rows(self) -> int:
        return len(self.soup.select("#result_list tbody tr"))

    def told(self, label: str) -> str:
        """What a page says of something that is not edited there."""
        (found,) = (found for found in self.soup.select("label") if found.get_text(" ", strip=True) == label)
        value = found.find_next(class_="readonly")
        assert value is not None
        return " ".join(value.get_text(" ").split())

    def submit(self, button: str = "_save", /, **changes: Any) -> "Page":
        """Send the page's form with what it came with, but for `changes`; None unticks or leaves out."""
        (form,) = self.soup.select("#content-main form[method=post], form#changelist-form")[:1]
        values: dict[str, Any] = {**_values_of(form), **changes, button: "1"}
        data = {name: value for name, value in values.items() if value is not None}
        return Page(self._client, self._path, self._client.post(self._path, data, follow=True))


def _values_of(form: Any) -> dict[str, list[str]]:
    """What a browser would send of it."""
    values: dict[str, list[str]] = {}
    for field in form.select("input[name], textarea[name], select[name]"):
        if field.name == "select":
            sent = [option["value"] for option in field.select("option[selected]")]
            if not sent and not field.has_attr("multiple"):
                sent = [option["value"] for option in field.select("option")[:1]]
        elif field.get("type") in ("checkbox", "radio"):
            sent = [field.get("value", "on")] if field.has_attr("checked") else []
        elif field.get("type") == "submit":
            sent = []
        else:
            sent = [field.get("value", "") if field.name == "input" else field.get_text().removeprefix("\n")]
        values.setdefault(field["name"], []).extend(sent)
    return {name: sent for name, sent in values.items() if sent}


def page_of(row: Any) -> str:
    """The address of its page."""
    return reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_change", args=[row.pk])


def act(client: Client, path: str, action: str, *pks: object) -> Page:
    """Tick some rows of a list and choose an action."""
    data = {"action": action, "_selected_action": [str(pk) for pk in pks], "index": "0"}
    return Page(client, path, client.post(path, data, follow=True))


def staff_with(*permissions: str) -> User:
    """A member of staff who may do that and nothing else; `view_` means every permission that begins so."""
    user = UserFactory(is_staff=True)
    for permission in permissions:
        user.user_permissions.add(*Permission.objects.filter(codename__startswith=permission))
    return user


Job = tuple[str, list[Any], dict[str, Any]]


@contextmanager
def published() -> Iterator[Callable[[], list[Job]]]:
    """Jobs go to a broker in this process; what is yielded hands out those that were published since the last call."""
    with Connection("memory://localhost") as memory, _publishing_to(memory), memory.SimpleQueue(QUEUE) as queue:
        queue.clear()

        def jobs() -> list[Job]:
            messages = [queue.get(timeout=1) for _ in range(queue.qsize())]
            return [(message.headers["task"], *message.payload[:2]) for message in messages]

        yield jobs


@contextmanager
def no_broker() -> Iterator[None]:
    with Connection("redis://127.0.0.1:9") as nobody, _publishing_to(nobody):  # nobody listens on the discard port
        yield


@contextmanager
def _publishing_to(broker_connection: Connection) -> Iterator[None]:
    current_app.loader.import_default_modules()
    app: Any = current_app._get_current_object()  # type: ignore[attr-defined]  # a proxy
    before = app.amqp._producer_pool
    app.amqp._producer_pool = pools.producers[broker_connection]
    try:
        yield
    finally:
        app.amqp._producer_pool = before
