"""The networks of DIANA's tests serve the npu as well."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "diana"))
