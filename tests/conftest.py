"""What holds for all tests."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from unittest.mock import patch

import pytest

from htvm_ir.fallback import INSTALL, is_installed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``tvm`` run where TVM is installed."""
    if is_installed():
        return
    for item in items:
        if item.get_closest_marker("tvm") is not None:
            item.add_marker(pytest.mark.skip(reason=f"TVM is not installed: {INSTALL}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """All other tests see a compiler without TVM, whether it is installed or not."""
    if item.get_closest_marker("tvm") is not None:
        return (yield)
    with patch("htvm_ir.fallback.is_installed", lambda: False):
        return (yield)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the user's cache of compilations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTVM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
