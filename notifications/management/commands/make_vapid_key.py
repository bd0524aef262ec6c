import json
from argparse import ArgumentParser
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management.base import BaseCommand
from py_vapid.utils import b64urlencode

from notifications.channels.push import public_key_of

EXPLANATION = """\
A new key for web push. Put this line into .env or your environment, for every process, and restart:

    {line}

By it browsers' push services know that a message is yours. Keep it secret and keep it: browsers subscribe for one key,
so with another one every member has to turn push on again. Nothing is stored here; each call prints another key.
"""


class Command(BaseCommand):
    help = "Print a new private key for web push (VAPID), as the line that belongs into .env. Changes nothing."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object, with the public key too")

    def handle(self, *args: Any, **options: Any) -> None:
        number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
        private = b64urlencode(number.to_bytes(32))
        if options["json"]:
            self.stdout.write(json.dumps({"VAPID_PRIVATE_KEY": private, "public_key": public_key_of(private)}))
        else:
            self.stdout.write(EXPLANATION.format(line=f"VAPID_PRIVATE_KEY={private}"))
