"""What attack tests share: a process with little memory."""

from collections.abc import Iterator

import pytest

from tests.attack.limited import Limited


@pytest.fixture(scope="session")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    process = Limited(tmp_path_factory.mktemp("limited"))
    yield process
    process.close()
