"""What a channel takes and how it can fail. A channel is a leaf: no ORM, no Celery; values in, None or an error out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import ClassVar, Self
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one address.

    `id` is the message's identity: the same at every attempt, so that a receiver can tell a repetition.
    """

    id: UUID
    address: str
    subject: str
    text: str
    html: str
    unsubscribe_url: str


class DeliveryError(Exception):
    """Why a message did not leave, in one sentence that staff and the member can read."""


class RetryLater(DeliveryError):
    """This message may go through later; not before `after`, where the provider said so."""

    def __init__(self, sentence: str, after: timedelta | None = None) -> None:
        super().__init__(sentence)
        self.after = after


class GiveUp(DeliveryError):
    """This message will never go through; the next one may."""


class ChannelDead(DeliveryError):
    """Nothing will ever go through to this address."""


class ProviderDown(DeliveryError):
    """Nothing goes through to anybody at the moment: it is nothing about this message."""


class Channel(ABC):
    """A way to reach people. Used as a context manager, so that a connection is kept for many messages."""

    kind: ClassVar[str]
    title: ClassVar[str]
    """What people call it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def send(self, message: Message) -> None:
        """Hand the message to the provider. Raises a DeliveryError where it was not taken."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what `send` keeps."""
