"""``NAME,KEY=VALUE,...`` as targets and built-in networks read it."""

from __future__ import annotations

import pytest

from htvm_ir.errors import HtvmError
from htvm_ir.settings import read_settings, split_settings

DEFAULTS = {"size": 32, "width": 0.25, "fast": True, "kernels": (1, 3)}


def test_a_name_alone_has_no_settings():
    assert split_settings("diana") == ("diana", {})


def test_settings_are_of_the_types_of_their_defaults():
    name, texts = split_settings("net,size=4k,width=1,fast=off")
    assert name == "net"
    assert read_settings("net", texts, DEFAULTS) == {"size": 4096, "width": 1.0, "fast": False}
    assert read_settings("net", {"size": "2m"}, DEFAULTS) == {"size": 2 << 20}


@pytest.mark.parametrize("text", ["net,", "net,size", "net,size=", "net,=4", "net,size=4,size=5", "net,,size=4"])
def test_malformed_settings(text: str):
    with pytest.raises(HtvmError, match=r"expected NAME,KEY=VALUE,\.\.\. with each key once"):
        split_settings(text)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("size", "4.5", "size=4.5 is not a whole number"),
        ("size", "-4", "size=-4 is not a whole number"),
        ("size", "9" * 400, "is not a whole number"),
        ("width", "nan", "width=nan is not a number"),
        ("fast", "1", "fast=1 is neither true nor false"),
        ("kernels", "3", "kernels cannot be set"),
        ("depth", "3", "network 'net' has no setting 'depth'; its settings are size, width, fast, kernels"),
    ],
)
def test_wrong_values(key: str, value: str, message: str):
    with pytest.raises(HtvmError, match=message):
        read_settings("network 'net'", {key: value}, DEFAULTS)


def test_what_has_no_settings_says_so():
    with pytest.raises(HtvmError, match="network 'net' has no setting 'size'; it has no settings"):
        read_settings("network 'net'", {"size": "3"}, {})
