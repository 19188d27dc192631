"""Networks measured once for all checks that read them."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from htvm_ir.driver.bench import measure
from htvm_ir.driver.compile import Options

NAMES = ("resnet8", "dscnn", "dae", "mobilenetv1")
"""The four networks of MLPerf Tiny: image classification, keywords, anomalies, visual wake words."""


def diana_networks() -> dict[str, str]:
    """The four by name: trained ones in DIANA's format from ``$HTVM_MODELS``, else the zoo's."""
    folder = os.environ.get("HTVM_MODELS")
    if not folder:
        return {name: f"zoo:{name}" for name in NAMES}
    return {name: str(Path(folder, "diana", name, f"{name}.onnx")) for name in NAMES}


@cache
def measured(model: str, target: str = "diana", engines: tuple[str, ...] | None = ("digital",)) -> dict[str, Any]:
    """The entry of ``htvm bench`` for one network; on DIANA without the analog array, as the bars have it."""
    return measure([model], Options(target=target, engines=engines))["models"][0]
