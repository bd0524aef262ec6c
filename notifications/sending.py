"""Handing letters to a provider, on threads of their own, while others are claimed, rendered and recorded."""

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from queue import SimpleQueue
from threading import Condition
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.utils import timezone

from notifications.channels.base import Channel, DeliveryError, Message, ProviderDown, RetryLater
from notifications.claiming import LEASE
from notifications.messages import Letter, Renderer
from notifications.models import Status
from notifications.outcomes import Outcome, failed, outcome, untried
from notifications.wanted import NOTHING_LEFT

logger = logging.getLogger(__name__)

WORTH_RECORDING, WITHIN = 100, 1.0
"""Outcomes are handed out when there are so many, or after so many seconds: what a killed process had sent and not
recorded is sent again."""


@dataclass(slots=True)
class Clock:
    """When to stop, by the monotonic clock; who is interrupted lets the others stop at once."""

    stop_at: float = inf

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.stop_at


class Sender:
    """Sends letters over one channel, from as many threads as it allows. Each is in hand until it is settled.

    When the provider is down what is in hand waits, and no attempt of its is used up. When time is up it is left out,
    as is what is worth nothing any more.
    """

    def __init__(self, channel: Channel, clock: Clock) -> None:
        self._channel, self._clock = channel, clock
        self._renderer = Renderer()
        self._letters: dict[UUID, Letter] = {}
        self._outcomes: dict[UUID, Outcome] = {}
        self._enough = Condition()
        self._down: ProviderDown | None = None
        self._alarmed: set[str] = set()
        self._ends = False
        self._queue: SimpleQueue[tuple[Letter, Message, float] | None] = SimpleQueue()
        self._pool = ThreadPoolExecutor(channel.concurrency, thread_name_prefix=channel.kind)
        for _ in range(channel.concurrency):
            self._pool.submit(self._work)

    @property
    def in_hand(self) -> Collection[UUID]:
        return self._letters.keys()

    def put(self, letters: Sequence[Letter]) -> None:
        """Have them sent one after the other."""
        lets_go_at = time.monotonic() + LEASE.total_seconds() / 2
        with self._enough:
            self._letters |= {letter.envelope.message: letter for letter in letters}
        for letter in letters:
            if message := self._rendered(letter):
                self._queue.put((letter, message, lets_go_at))

    def outcomes(self) -> Sequence[Outcome]:
        """What became of some, when it is worth recording."""
        with self._enough:
            self._enough.wait_for(self._are_enough, WITHIN)
            return list(self._outcomes.values())

    def settle(self, outcomes: Iterable[Outcome]) -> None:
        """These are recorded. One that hung for longer than its lease may be there a second time, and is once."""
        with self._enough:
            for each in outcomes:
                self._letters.pop(each.message, None)
                self._outcomes.pop(each.message, None)

    def end(self) -> Sequence[Outcome]:
        """What became of all that is still in hand. It ends with the messages that it is at."""
        self._ends = True
        for _ in range(self._channel.concurrency):
            self._queue.put(None)
        self._pool.shutdown()
        for message, letter in self._letters.items():
            self._outcomes.setdefault(message, untried(letter))
        return list(self._outcomes.values())

    def _rendered(self, letter: Letter) -> Message | None:
        try:
            message = self._renderer.message(letter)
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:
            self._keep(_unexpected(letter, error))
            return None
        if message is None:
            self._keep(outcome(letter, Status.SKIPPED, NOTHING_LEFT))
        return message

    def _work(self) -> None:
        """On a thread of the pool: whatever one message meets is its own."""
        while given := self._queue.get():
            letter = given[0]
            try:
                self._keep(self._sent(*given))
            except BaseException as error:
                self._keep(_unexpected(letter, error))

    def _sent(self, letter: Letter, message: Message, lets_go_at: float) -> Outcome:
        if self._ends or self._clock.is_over or time.monotonic() > lets_go_at or timezone.now() >= message.expires_at:
            return untried(letter)
        if self._down:
            return failed(letter, self._down)
        try:
            self._channel.send(message)
        except DeliveryError as error:
            if isinstance(error, ProviderDown):
                self._down = error
            if isinstance(error, ProviderDown | RetryLater) and error.alarming:
                self._alarm(str(error))
            return failed(letter, error)
        return outcome(letter, Status.SENT)

    def _alarm(self, sentence: str) -> None:
        """Once, though it may strike thousands of messages."""
        with self._enough:
            is_news = sentence not in self._alarmed
            self._alarmed.add(sentence)
        if is_news:
            logger.error("%s needs its operator: %s", self._channel.title, sentence)

    def _keep(self, result: Outcome) -> None:
        with self._enough:
            self._outcomes[result.message] = result
            if self._are_enough():
                self._enough.notify()

    def _are_enough(self) -> bool:
        return len(self._outcomes) >= min(WORTH_RECORDING, len(self._letters))


def _unexpected(letter: Letter, error: BaseException) -> Outcome:
    logger.exception("A message could not be made or sent", exc_info=error)
    return outcome(letter, Status.FAILED, f"Unexpected {type(error).__name__}: {error}")
