from collections.abc import Iterator

import kombu
import pytest

from tests.scheduler import memory_broker


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[kombu.Connection]:
    """One in this process, to which this test's messages go."""
    with memory_broker.in_memory(monkeypatch) as connection:
        yield connection
