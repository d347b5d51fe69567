"""Fixtures of the tests of training."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adapt.forked import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A process that has imported everything and forks trainings."""
    made = Server()
    yield made
    made.close()
