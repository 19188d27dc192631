"""Names of new globals and functions."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp, StringAttr


class Symbols:
    """The symbols of a module; what is added to it elsewhere meanwhile is not seen."""

    def __init__(self, module: ModuleOp):
        names = (op.get_attr_or_prop("sym_name") for op in module.ops)
        self._taken = {name.data for name in names if isinstance(name, StringAttr)}

    def unused(self, wanted: str) -> str:
        """``wanted``, with the first free number behind it if it is taken; taken from now on."""
        name, count = wanted, 1
        while name in self._taken:
            name, count = f"{wanted}_{count}", count + 1
        self._taken.add(name)
        return name
