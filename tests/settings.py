"""The project's settings, in a world of their own: data in .data/tests, nothing scheduled, nothing asked outside."""

import os
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent

for _name in ("PORT", "DATABASE_URL", "CELERY_BROKER_URL", "EMAIL_URL", "SITE_URL", "ALLOWED_HOSTS", "DEBUG"):
    # Set, and so not taken from an .env file either; a test database elsewhere is named on purpose.
    os.environ[_name] = os.environ.get(f"TEST_{_name}", "")
# Where tests run side by side, each of their processes has data, and with it a database server, of its own.
_data_dir = Path(os.environ.get("TEST_DATA_DIR", _ROOT / ".data" / "tests"))
os.environ["DATA_DIR"] = str(_data_dir / os.environ.get("PYTEST_XDIST_WORKER", ""))
os.environ["SCHEDULING_ENABLED"] = "false"
os.environ["LOG_LEVEL"] = "WARNING"
for _name in ("PHONE_NUMBER_ID", "TOKEN", "APP_SECRET", "VERIFY_TOKEN"):
    os.environ[f"WHATSAPP_{_name}"] = ""
for _name in ("VAPID_PRIVATE_KEY", "VAPID_SUBJECT", "PUSH_TRUSTED_ORIGINS"):
    os.environ[_name] = ""
os.environ["WHATSAPP_URL"] = "http://127.0.0.1:9"
for _platform in ("CODEFORCES", "LEETCODE", "CODECHEF", "ATCODER"):
    os.environ[f"{_platform}_URL"] = "http://127.0.0.1:9"  # nobody listens on the discard port

from config.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
