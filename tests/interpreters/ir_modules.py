"""Small modules for the tests of the interpreters, from text or from one op."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerType, ModuleOp, Signedness, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, BlockArgument, Operation
from xdsl.parser import Parser
from xdsl.rewriter import InsertPoint
from xdsl.universe import Universe

from htvm_ir.interpreters.run import run

Array = NDArray[Any]


@cache
def context() -> Context:
    """A context with every dialect of xDSL and of this package."""
    loaded = Context()
    for name, factory in Universe.get_multiverse().all_dialects.items():
        loaded.register_dialect(name, factory)
    return loaded


def parse(text: str) -> ModuleOp:
    """A verified module."""
    module = Parser(context(), text).parse_module()
    module.verify()
    return module


def tensor_like(array: Array) -> TensorType[Attribute]:
    """The type of an integer array."""
    signedness = Signedness.UNSIGNED if array.dtype.kind == "u" else Signedness.SIGNLESS
    return TensorType(IntegerType(array.dtype.itemsize * 8, signedness), array.shape)


def module_of(arrays: Sequence[Array], build: Callable[..., Operation]) -> ModuleOp:
    """``@main`` that takes the arrays as arguments and returns the result of the op ``build`` makes of them."""
    types = [tensor_like(array) for array in arrays]
    function = FuncOp("main", (types, []))
    builder = Builder(InsertPoint.at_end(function.body.block))
    arguments: tuple[BlockArgument, ...] = tuple(function.body.block.args)
    op = builder.insert(build(*arguments))
    builder.insert(ReturnOp(op.results[0]))
    function.update_function_type()
    module = ModuleOp([function])
    module.verify()
    return module


def evaluate(arrays: Sequence[Array], build: Callable[..., Operation]) -> Array:
    """The value of one op."""
    (result,) = run(module_of(arrays, build), arrays)
    return result


def random_array(seed: int, shape: Sequence[int], low: int = -128, high: int = 127, dtype: str = "int8") -> Array:
    """Uniform integers in [low, high]."""
    return np.random.default_rng(seed).integers(low, high, tuple(shape), dtype=np.int64, endpoint=True).astype(dtype)
