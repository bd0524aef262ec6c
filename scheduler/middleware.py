from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from scheduler.ledger import acting
from scheduler.models import Trigger


class ActorMiddleware:
    """What is asked for on a page of Django admin was triggered there, by whoever is signed in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(reverse("admin:index")):
            return self.get_response(request)
        with acting(Trigger.ADMIN, request.user.get_username()):
            return self.get_response(request)
