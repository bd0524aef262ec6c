"""Telephone numbers as people type them."""

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from config.http import excerpt

_WITHOUT_COUNTRY = "Begin the number with a plus sign and the country's code, such as +49 1512 3456789."
_NO_NUMBER = "“{typed}” is not a telephone number: write it such as +49 1512 3456789."

_UNREADABLE = {
    NumberParseException.INVALID_COUNTRY_CODE: _WITHOUT_COUNTRY,
    NumberParseException.NOT_A_NUMBER: _NO_NUMBER,
    NumberParseException.TOO_LONG: "“{typed}” has too many digits.",
    NumberParseException.TOO_SHORT_AFTER_IDD: "“{typed}” has too few digits.",
    NumberParseException.TOO_SHORT_NSN: "“{typed}” has too few digits.",
}

_IMPOSSIBLE = {
    ValidationResult.TOO_SHORT: "“{typed}” has too few digits.",
    ValidationResult.TOO_LONG: "“{typed}” has too many digits.",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "“{typed}” lacks the area code.",
}


class BadNumber(ValueError):
    """`str(error)` says in a sentence what is wrong with it."""


def e164(typed: str, region: str | None = None) -> str:
    """The number as the whole world writes it, `+4915123456789`. Raises BadNumber.

    `region` is the country (`DE`) whose number it is where it begins with no country's code.
    """
    shown = excerpt(typed, 40)
    try:
        number = phonenumbers.parse(typed, region)
    except NumberParseException as error:
        raise BadNumber(_UNREADABLE.get(error.error_type, _NO_NUMBER).format(typed=shown)) from error
    if number.extension:
        raise BadNumber(f"“{shown}” has an extension, and WhatsApp knows none.")
    if said := _IMPOSSIBLE.get(phonenumbers.is_possible_number_with_reason(number)):
        raise BadNumber(said.format(typed=shown))
    if not phonenumbers.is_valid_number(number):
        raise BadNumber(f"There is no number like “{shown}”: look for a digit too many or too few.")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def readable(number: str) -> str:
    """`+49 1512 3456789`, for people."""
    return phonenumbers.format_number(phonenumbers.parse(number), PhoneNumberFormat.INTERNATIONAL)
