import os
import sys

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
try:
    application = get_wsgi_application()
except SystemExit as stop:  # a bad setting; at any status but this one gunicorn would try again for ever
    print(stop.code, file=sys.stderr)
    sys.exit(3)
