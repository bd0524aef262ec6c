"""Django's PostgreSQL backend, which sees to it that the embedded server runs before it connects."""

from pathlib import Path
from typing import Any

from django.db.backends.postgresql import base

from config.database import embedded


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if data_dir := self.settings_dict.get("EMBEDDED_IN"):
            embedded.ensure_running(Path(data_dir))
        return super().get_new_connection(conn_params)
