"""What an error of WhatsApp's means: for this message, for its number, or for everybody.

After Meta's table of May 2026, https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes.
It asks to go by code and details: HTTP status, title and subcode change.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Self

from config.http import excerpt
from notifications.channels.base import ChannelDead, DeliveryError, GiveUp, ProviderDown, RetryLater

PAIR_LIMIT = 131056
LONGEST_PAIR_WAIT = timedelta(hours=1)
"""Meta's wait of 4^X seconds is past any use at the sixth refusal."""

_Typed = Callable[[str], DeliveryError]

_mend: _Typed = partial(ProviderDown, alarming=True)
_busy: _Typed = partial(RetryLater, after=timedelta(seconds=5))
_calls_used_up: _Typed = partial(ProviderDown, after=timedelta(minutes=5))
_slow_down: _Typed = partial(ProviderDown, after=timedelta(hours=1))
_slow_down_and_mend: _Typed = partial(ProviderDown, after=timedelta(hours=1), alarming=True)

# Each purpose has a template of its own: what cannot be said with one is no reason to keep the others back.
_mend_template: _Typed = partial(RetryLater, after=timedelta(minutes=30), alarming=True)

_TEMPLATE = "the operator must look at the template in WhatsApp Manager"

_TABLE: tuple[tuple[Container[int], _Typed, str], ...] = (
    ({0, 190}, _mend, "WhatsApp no longer takes our access token: the operator must set a new WHATSAPP_TOKEN"),
    ({3, 10, *range(200, 300)}, _mend, "WhatsApp misses a permission: the operator must look at those of the token"),
    ({4, 80007}, _calls_used_up, "WhatsApp takes no more requests from us for a while"),
    ({130429}, _busy, "WhatsApp takes no more messages a second from us"),
    ({131048}, _slow_down_and_mend, "WhatsApp lets us send less, as too many messages of ours were called spam"),
    ({131064}, _slow_down, "WhatsApp lets us send less, as a template of ours is in the wrong category"),
    (
        {131026},
        ChannelDead,
        "WhatsApp does not reach this number: it is not on WhatsApp, has not accepted the terms or has too old an app",
    ),
    # It speaks of the member's country. To stop everybody for it would let one number silence all the others.
    ({130497}, ChannelDead, "WhatsApp does not let us write to numbers of this country"),
    ({131047}, GiveUp, "WhatsApp did not take it for a template message, which is a fault of CodeNotify"),
    ({131049}, GiveUp, "WhatsApp held it back, so that people do not get too many messages of this kind"),
    ({130472}, GiveUp, "WhatsApp held it back, as this number is part of an experiment of theirs"),
    ({131050}, GiveUp, "This number has turned messages of this kind from us off in WhatsApp"),
    ({131030}, GiveUp, "WhatsApp lets the operator's test number write to listed numbers only, and this one is not"),
    ({132000, 132012}, _mend_template, f"The WhatsApp template takes other values than we send: {_TEMPLATE}"),
    (
        {132001},
        _mend_template,
        f"There is no such WhatsApp template in this language, or it is not approved: {_TEMPLATE}",
    ),
    ({132005}, _mend_template, f"The WhatsApp template leaves too little room for what we say: {_TEMPLATE}"),
    ({132007}, _mend_template, f"The WhatsApp template breaks a rule of Meta's: {_TEMPLATE}"),
    ({132015}, _mend_template, f"The WhatsApp template is paused for its quality: {_TEMPLATE}"),
    ({132016}, _mend_template, f"The WhatsApp template is disabled for good: {_TEMPLATE}"),
    ({100, 131008, 131009}, GiveUp, "WhatsApp did not understand our request, which is a fault of CodeNotify"),
    ({1, 131000}, RetryLater, "WhatsApp failed at this message and does not say why"),
    ({2, 131016, 131057}, ProviderDown, "WhatsApp does not work at the moment"),
    ({368, 131031}, _mend, "WhatsApp has locked our account: the operator must look at it in WhatsApp Manager"),
    ({131042}, _mend, "WhatsApp wants to be paid: the operator must look at the payment method in WhatsApp Manager"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphError:
    """An error as an answer or a callback has it.

    `status` is the answer's, and `asked_for` how long its Retry-After wants to be left alone; a callback has neither.
    """

    code: int | None
    details: str = ""
    is_transient: bool = False
    status: int = 0
    asked_for: timedelta | None = None

    @classmethod
    def read(cls, error: Mapping[str, Any], *, status: int = 0, asked_for: timedelta | None = None) -> Self:
        """From the JSON, whatever is in it."""
        data = error.get("error_data")
        details = data.get("details") if isinstance(data, Mapping) else None
        return cls(
            code=_integer(error.get("code")),
            details=excerpt(str(details or error.get("message") or error.get("title") or ""), 300),
            is_transient=error.get("is_transient") is True,
            status=status,
            asked_for=asked_for,
        )

    def typed(self, refusals: int = 0) -> DeliveryError:
        """What it means. `refusals`: how often in a row this number has already been over its limit of messages."""
        if self.code == PAIR_LIMIT:
            wait = min(timedelta(seconds=4 ** min(refusals, 10)), LONGEST_PAIR_WAIT)
            return RetryLater(self._say("This number has got too many messages from us in a short time"), wait)
        if self.code == 100 and "Object with ID" in self.details:
            return _mend(self._say("WhatsApp does not know our number: the operator must set WHATSAPP_PHONE_NUMBER_ID"))
        for codes, typed, sentence in _TABLE:
            if self.code in codes:
                return self._patient(typed(self._say(sentence)))
        return self._patient(self._unknown())

    def _unknown(self) -> DeliveryError:
        """By what is left to go by: codes are added to the table every year."""
        sentence = self._say("WhatsApp refused the message")
        if self.is_transient or self.status == 429:
            return RetryLater(sentence)
        if self.status in {*range(300, 400), 401, 403}:
            return _mend(sentence)
        return ProviderDown(sentence) if self.status >= 500 else GiveUp(sentence)

    def _patient(self, error: DeliveryError) -> DeliveryError:
        """Waiting for as long as the answer asked for, where that is longer."""
        if isinstance(error, RetryLater | ProviderDown) and self.asked_for:
            error.after = max(error.after or timedelta(0), self.asked_for)
        return error

    def _say(self, sentence: str) -> str:
        said = str(self.code) if self.code is not None else f"status {self.status}"
        return f"{sentence} ({said}: {self.details})" if self.details else f"{sentence} ({said})"


def _integer(code: object) -> int | None:
    """Some of Meta's partners write the code as text."""
    if isinstance(code, str) and code.isascii() and code.isdecimal() and len(code) < 10:
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) else None
