"""What holds for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the user's cache of compilations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTVM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
