from datetime import UTC, datetime, timedelta

from config.breaker import BreakerState
from contests.models import Platform

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def failed(times: int) -> Platform:
    platform = Platform(code="codeforces", name="Codeforces")
    for _ in range(times):
        platform.record_failure(NOW, "It is down.")
    return platform


def test_the_breaker_opens_after_five_failures_in_a_row() -> None:
    assert failed(4).paused_until(NOW) is None
    assert failed(5).paused_until(NOW) == NOW + timedelta(seconds=60)


def test_a_success_between_failures_keeps_the_breaker_closed() -> None:
    platform = failed(4)
    platform.record_success(NOW)
    for _ in range(4):
        platform.record_failure(NOW, "It is down.")
    assert platform.breaker_state == BreakerState.CLOSED


def test_an_open_breaker_lets_a_trial_through_after_a_minute() -> None:
    platform = failed(5)
    assert platform.paused_until(NOW + timedelta(seconds=59)) is not None
    assert platform.paused_until(NOW + timedelta(seconds=60)) is None


def test_a_failed_trial_opens_the_breaker_for_another_minute() -> None:
    platform = failed(5)
    later = NOW + timedelta(seconds=61)
    platform.record_failure(later, "Still down.")
    assert platform.paused_until(later) == later + timedelta(seconds=60)


def test_three_successes_close_the_breaker_and_two_do_not() -> None:
    platform = failed(5)
    later = NOW + timedelta(seconds=61)
    for expected in (BreakerState.HALF_OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED):
        platform.record_success(later)
        assert platform.breaker_state == expected


def test_a_reset_lets_the_next_call_through_and_forgets_no_error() -> None:
    platform = failed(5)
    platform.reset_breaker()
    assert (platform.paused_until(NOW), platform.last_error) == (None, "It is down.")
    for _ in range(4):
        platform.record_failure(NOW, "Still down.")
    assert platform.paused_until(NOW) is None
