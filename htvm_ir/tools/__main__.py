"""``python -m htvm_ir.tools`` is ``htvm``."""

from __future__ import annotations

import sys

from htvm_ir.tools.htvm import main

sys.exit(main())
