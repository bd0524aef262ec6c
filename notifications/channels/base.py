"""What a channel takes and how it can fail. A channel is a leaf: no ORM, no Celery; values in, None or an error out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import ClassVar, Self
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to one address.

    - `id` is the message's identity: the same at every attempt, so that a receiver can tell a repetition.
    - `purpose` is what the member chose the channel for: reminders, changes or digest; or verification or test, which
      are asked for at the moment they are sent.
    - `tag` is the same for messages of which a later one takes an earlier one's place: at most 32 characters of the
      base64url alphabet.
    - `subject` is one line; `text` and `html` say all there is to say. `foot` is what a mail says below the text, and
      what the HTML has too: why one gets it, and how one gets less.
    - `url` is the page of what it speaks of; `unsubscribe_url` ends messages of this purpose on this channel.
    - `calendar` is an iCalendar file of the contests, or nothing.
    - `keys` are what the address needs besides: of a push subscription its `p256dh` and `auth`.
    - After `expires_at` it is worth nothing.
    """

    id: UUID
    address: str
    subject: str
    text: str
    expires_at: datetime
    purpose: str = "reminders"
    foot: str = ""
    html: str = ""
    url: str = ""
    unsubscribe_url: str = ""
    tag: str = ""
    calendar: bytes = b""
    keys: Mapping[str, str] = field(default_factory=dict)


class DeliveryError(Exception):
    """Why a message did not leave, in one sentence that staff and the member can read."""


class RetryLater(DeliveryError):
    """This message may go through later; not before `after`, where the provider said so.

    `alarming`: it will not before staff have looked.
    """

    def __init__(self, sentence: str, after: timedelta | None = None, *, alarming: bool = False) -> None:
        super().__init__(sentence)
        self.after, self.alarming = after, alarming


class OutcomeUnknown(DeliveryError):
    """Nobody knows whether it left: the provider will tell, or it is tried again after a while."""


class GiveUp(DeliveryError):
    """This message will never go through; the next one may."""


class ChannelDead(DeliveryError):
    """Nothing will ever go through to this address.

    `gone`: the address itself is no more, as a browser's subscription that was withdrawn; its owner need not be told.
    """

    def __init__(self, sentence: str, *, gone: bool = False) -> None:
        super().__init__(sentence)
        self.gone = gone


class ProviderDown(DeliveryError):
    """Nothing goes through to anybody at the moment: it is nothing about this message.

    Not before `after`, where the provider said so. `alarming`: it will not pass by itself, and staff must look.
    """

    def __init__(self, sentence: str, after: timedelta | None = None, *, alarming: bool = False) -> None:
        super().__init__(sentence)
        self.after, self.alarming = after, alarming


class Channel(ABC):
    """A way to reach people. Used as a context manager, so that a connection is kept for many messages."""

    kind: ClassVar[str]
    title: ClassVar[str]
    """What people call it."""
    message: ClassVar[str] = "a message"
    """What they call what comes that way."""
    needs_keys: ClassVar[bool] = False
    """Whether nothing can be sent to an address without keys that came with it."""
    concurrency: ClassVar[int] = 1
    """How many threads may be in `send` at once."""

    @classmethod
    def is_configured(cls) -> bool:
        """Whether the operator has set up what it takes; members are not offered it otherwise."""
        return True

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
