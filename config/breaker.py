"""A circuit breaker that all processes share, as columns of the row of whoever is asked."""

from datetime import datetime, timedelta

from django.db import models


class BreakerState(models.TextChoices):
    CLOSED = "closed", "closed"
    OPEN = "open", "open"
    HALF_OPEN = "half-open", "half open"


class Breaker(models.Model):
    """Somebody outside whom we ask, and how that has gone lately.

    The breaker keeps who is down from being asked in vain, by any process: open after BREAKER_OPENS_AFTER failures in a
    row, tried again after BREAKER_PAUSE, closed after BREAKER_CLOSES_AFTER successes.
    """

    BREAKER_OPENS_AFTER = 5
    BREAKER_PAUSE = timedelta(seconds=60)
    BREAKER_CLOSES_AFTER = 3
    BREAKER_FIELDS = (
        "last_success_at",
        "last_error_at",
        "last_error",
        "breaker_state",
        "breaker_opened_at",
        "failures_in_a_row",
        "successes_in_a_row",
    )
    """All that the methods below change: what to save, so that what staff edit at the same moment stays theirs."""

    last_success_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    breaker_state = models.CharField(
        max_length=16, choices=BreakerState, default=BreakerState.CLOSED, editable=False, verbose_name="breaker"
    )
    breaker_opened_at = models.DateTimeField(null=True, blank=True, editable=False)
    failures_in_a_row = models.PositiveIntegerField(default=0, editable=False)
    successes_in_a_row = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        abstract = True

    @property
    def is_failing(self) -> bool:
        """Whether the newest attempt failed."""
        if self.last_error_at is None:
            return False
        return self.last_success_at is None or self.last_error_at > self.last_success_at

    def paused_until(self, now: datetime) -> datetime | None:
        """When the breaker lets the next call through; None where it does so now."""
        if self.breaker_state != BreakerState.OPEN or self.breaker_opened_at is None:
            return None
        until = self.breaker_opened_at + self.BREAKER_PAUSE
        return until if until > now else None

    def record_success(self, now: datetime) -> None:
        """Note a usable answer. Changes the instance; the caller holds the row's lock and saves BREAKER_FIELDS."""
        self.last_success_at = now
        self.failures_in_a_row = 0
        self.successes_in_a_row += 1
        if self.breaker_state != BreakerState.CLOSED:
            closed = self.successes_in_a_row >= self.BREAKER_CLOSES_AFTER
            self.breaker_state = BreakerState.CLOSED if closed else BreakerState.HALF_OPEN

    def record_failure(self, now: datetime, error: str) -> None:
        """Note a failure, as above."""
        self.last_error_at = now
        self.last_error = error
        self.failures_in_a_row += 1
        self.successes_in_a_row = 0
        if self.breaker_state != BreakerState.CLOSED or self.failures_in_a_row >= self.BREAKER_OPENS_AFTER:
            self.breaker_state = BreakerState.OPEN
            self.breaker_opened_at = now

    def reset_breaker(self) -> None:
        """Let the next call through, as above: somebody knows that the trouble is over. What went wrong stays told."""
        self.breaker_state = BreakerState.CLOSED
        self.breaker_opened_at = None
        self.failures_in_a_row = self.successes_in_a_row = 0
