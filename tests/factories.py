"""Rows for tests. `now` is theirs to choose; where they don't, it is the clock's."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import factory
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.utils import timezone

from contests.models import Contest, Platform
from notifications.channels.email import Email
from notifications.models import Channel, Notification, NotificationKind, Preference, default_platforms


class _ContestFactory(factory.django.DjangoModelFactory):
    """An upcoming Codeforces contest of two hours that starts in half a day."""

    class Meta:
        model = Contest

    platform = factory.LazyFunction(lambda: Platform.objects.get(code="codeforces"))
    key = factory.Sequence(lambda n: str(1000 + n))
    name = factory.LazyAttribute(lambda contest: f"Round {contest.key}")
    url = factory.LazyAttribute(lambda contest: f"https://codeforces.com/contests/{contest.key}")
    starts_at = factory.LazyFunction(lambda: timezone.now().replace(microsecond=0) + timedelta(hours=12))
    duration = timedelta(hours=2)
    ends_at = factory.LazyAttribute(lambda contest: contest.starts_at + contest.duration)
    last_seen_at = factory.LazyFunction(timezone.now)

    @classmethod
    def _create(cls, model_class: type[Contest], *args: Any, **kwargs: Any) -> Contest:
        if isinstance(platform := kwargs.get("platform"), str):
            kwargs["platform"] = Platform.objects.get(code=platform)
        contest: Contest = super()._create(model_class, *args, **kwargs)
        return contest


class _UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"user{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.org")
    password = factory.django.Password("correct horse")


class _MemberFactory(_UserFactory):
    """A user with a verified address and so a mail channel; `preference__…` sets what they want."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    @factory.post_generation
    def preference(self: User, create: bool, extracted: None, **wishes: Any) -> None:
        Preference.objects.filter(user=self).update(**wishes)
        self.refresh_from_db()

    @factory.post_generation
    def verified(self: User, create: bool, extracted: bool | None, **_: Any) -> None:
        if extracted is not False:
            EmailAddress.objects.create(user=self, email=self.email, verified=True, primary=True)
            Channel.objects.create(user=self, kind=Email.kind, address=self.email, verified_at=timezone.now())


class _StaffFactory(_MemberFactory):
    is_staff = True
    is_superuser = True


class _NotificationFactory(factory.django.DjangoModelFactory):
    """A pending reminder, due now."""

    class Meta:
        model = Notification

    contest = factory.SubFactory(_ContestFactory)
    channel = factory.LazyFunction(lambda: _MemberFactory().channels.get())
    contest_name = factory.SelfAttribute("contest.name")
    kind = NotificationKind.REMINDER
    lead_minutes = 60
    starts_at = factory.SelfAttribute("contest.starts_at")
    due_at = factory.LazyFunction(timezone.now)
    expires_at = factory.SelfAttribute("starts_at")
    created_at = factory.LazyFunction(timezone.now)
    available_at = factory.LazyFunction(timezone.now)


# factory_boy's classes make instances of other classes, which no type checker understands without being told.
ContestFactory = cast("Callable[..., Contest]", _ContestFactory)
UserFactory = cast("Callable[..., User]", _UserFactory)
MemberFactory = cast("Callable[..., User]", _MemberFactory)
StaffFactory = cast("Callable[..., User]", _StaffFactory)
NotificationFactory = cast("Callable[..., Notification]", _NotificationFactory)


def make_members(count: int, **wishes: Any) -> None:
    """Many members with a mail channel each, set-based and without passwords."""
    now = timezone.now()
    wishes.setdefault("platforms", default_platforms())
    users = User.objects.bulk_create(
        [User(username=f"member{n}", email=f"member{n}@example.org", password="!") for n in range(count)],
        batch_size=5_000,
    )
    Preference.objects.bulk_create([Preference(user=user, **wishes) for user in users], batch_size=5_000)
    Channel.objects.bulk_create(
        [Channel(user=user, kind=Email.kind, address=user.email, verified_at=now) for user in users],
        batch_size=5_000,
    )
