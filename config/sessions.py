"""Sessions in the database, as Django keeps them."""

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    def __init__(self, session_key: str | None = None) -> None:
        """Keys are letters and digits: for anything else that a cookie says, PostgreSQL needs not look, or cannot."""
        super().__init__(session_key if session_key and session_key.isalnum() else None)
