"""Sending what is planned: claim, send, record, and claim more while others are being sent."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from django.utils import timezone

from notifications import outcomes, providers
from notifications.channels import CHANNELS
from notifications.claiming import LEASE, claim, is_anything_due, let_go
from notifications.messages import Letter
from notifications.models import Status
from notifications.outcomes import Outcome, untried
from notifications.retrying import outlasting
from notifications.sending import Clock, Sender

BATCH = 200
"""Channels, and so messages, claimed at once."""

LONGEST_NAP = 1.0
"""Seconds between two looks at whether a provider whose rate is reached takes more."""


@dataclass(slots=True)
class ChannelReport:
    """What became of the notifications of one kind of channel, and the number of messages that carried them.

    `unfinished`: time was up, and more may be waiting.
    """

    messages: int = 0
    sent: int = 0
    failed: int = 0
    postponed: int = 0
    unfinished: bool = False
    errors: tuple[str, ...] = ()

    def add(self, outcome: Outcome) -> None:
        count = len(outcome.notifications)
        match outcome.status:
            case Status.SENT:
                self.messages += 1
                self.sent += count
            case Status.FAILED:
                self.failed += count
            case _ if outcome.error:
                self.postponed += count
        if outcome.error and outcome.error not in self.errors and len(self.errors) < 5:
            self.errors += (outcome.error,)


def deliver(
    kind: str, on_progress: Callable[[int], None] = lambda done: None, *, clock: Clock | None = None
) -> ChannelReport:
    """Send what is planned for channels of `kind`, until there is no more, the provider is down or time is up.

    It ends with the messages that it is at, and writes down what became of them also where something interrupts it:
    what left is not to leave again, and what did not may leave at once.
    """
    clock = clock or Clock()
    report = ChannelReport()
    claimer = uuid4()

    def record(results: Sequence[Outcome]) -> None:
        if not results:
            return
        outcomes.record(kind, claimer, results)
        sender.settle(results)
        for result in results:
            report.add(result)
        on_progress(sum(result.status != Status.PENDING for result in results))

    with CHANNELS[kind]() as channel:
        sender = Sender(channel, clock)
        try:
            flows = False
            while not clock.is_over:
                if not sender.in_hand or (flows and len(sender.in_hand) <= BATCH // 2):
                    letters = _next_letters(kind, claimer, clock, sender.in_hand)
                    flows = len(letters) >= BATCH
                    sender.put(letters)
                    if not sender.in_hand:
                        break
                results = sender.outcomes()
                if any(result.says_that_provider_is_down for result in results):
                    break
                record(results)
        finally:
            record(sender.end())
    report.unfinished = clock.is_over
    return report


def _next_letters(kind: str, claimer: UUID, clock: Clock, in_hand: Collection[UUID]) -> Sequence[Letter]:
    """As below. It outlasts a hang-up of the database, which may have claimed something before it."""
    hung_up = False

    def look() -> Sequence[Letter]:
        nonlocal hung_up
        if hung_up:
            let_go(claimer, in_hand)
        hung_up = True
        return _look(kind, claimer, clock, can_wait=not in_hand)

    return outlasting(LEASE / 2, look, "a look at what is due")


def _look(kind: str, claimer: UUID, clock: Clock, *, can_wait: bool) -> Sequence[Letter]:
    """What is to be sent next; nothing where there is no more, or none at this moment and it is not to be waited for.

    A provider whose rate is reached is waited for, and so are others who hold all that is left: they are about to take
    it or to let it go.
    """
    while not clock.is_over:
        allowed, free_at = providers.let_through(kind, BATCH, now := timezone.now())
        letters = _at_most(allowed, kind, claimer)
        providers.give_back(kind, allowed - len(letters))
        if letters or not can_wait or free_at is None or not is_anything_due(kind, now):
            return letters
        nap = 0.02 if allowed else (free_at - now).total_seconds()
        time.sleep(min(max(nap, 0.01), LONGEST_NAP))
    return ()


def _at_most(allowed: int, kind: str, claimer: UUID) -> Sequence[Letter]:
    """What is due to a member is claimed as a whole: where few may leave, those above the number are let go at once.

    Above a whole batch they leave as well, and count towards what may leave next.
    """
    letters = claim(kind, claimer, allowed) if allowed else ()
    if allowed < BATCH and (surplus := letters[allowed:]):
        outcomes.record(kind, claimer, [untried(letter) for letter in surplus])
        return letters[:allowed]
    return letters
