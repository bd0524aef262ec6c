"""The forms that take a mail address: of no more characters than the tables hold, where allauth would cut it short."""

from allauth.account.fields import EmailField
from allauth.account.forms import AddEmailForm, SignupForm

LONGEST = 254


class AddressForm(AddEmailForm):
    email = EmailField(label="Another mail address", max_length=LONGEST)


class SignUpForm(SignupForm):
    email = EmailField(max_length=LONGEST)
