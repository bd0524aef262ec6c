"""Who looks at a page."""

from django.contrib.auth.models import User
from django.http import HttpRequest


def member(request: HttpRequest) -> User:
    """Of a view that only who is signed in gets to."""
    assert isinstance(request.user, User)
    return request.user
