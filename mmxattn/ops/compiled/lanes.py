"""Sixteen numbers at a time, as a type for functions that Numba compiles: a register of AVX-512, or several of others.

LLVM makes such instructions of loops by itself, but half as wide as an Intel processor's registers are, and it keeps
no tile of sums in them.
"""
import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from .functions import POWER

__all__ = ['BYTES', 'WIDTH', 'exp2', 'larger', 'load', 'multiply_add', 'spread', 'store']

WIDTH = 16
BYTES = 4 * WIDTH

NUMBER, WORD = ir.FloatType(), ir.IntType(32)
NUMBERS, WORDS = ir.VectorType(NUMBER, WIDTH), ir.VectorType(WORD, WIDTH)


class Lanes(types.Type):
    """Of a variable that holds sixteen float32."""

    def __init__(self):
        super().__init__('Lanes')


lanes = Lanes()


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):

    def __init__(self, manager: Any, type_: Any):
        super().__init__(manager, type_, NUMBERS)


def _constant(value: float) -> Any:
    return ir.Constant(NUMBERS, [ir.Constant(NUMBER, float(value))] * WIDTH)


def _spread(builder: Any, value: Any) -> Any:
    nothing = ir.Constant(NUMBERS, ir.Undefined)
    one = builder.insert_element(nothing, value, WORD(0))
    return builder.shuffle_vector(one, nothing, ir.Constant(WORDS, [0] * WIDTH))


def _at(builder: Any, address: Any, type_: Any) -> Any:
    return builder.inttoptr(address, type_.as_pointer())


def _call(builder: Any, name: str, *arguments: Any) -> Any:
    type_ = ir.FunctionType(NUMBERS, [NUMBERS] * len(arguments))
    return builder.call(cgutils.get_or_insert_function(builder.module, type_, f'llvm.{name}.v{WIDTH}f32'), arguments)


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered('>', a, b), a, b)


@intrinsic
def load(typing: Any, address: Any) -> Any:
    """The sixteen numbers at an address, any."""
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_at(builder, arguments[0], NUMBERS), align=4)

    return lanes(types.intp), build


@intrinsic
def store(typing: Any, address: Any, x: Any) -> Any:
    """Put sixteen numbers to an address."""
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], _at(builder, arguments[0], NUMBERS), align=4)
        return context.get_dummy_value()

    return types.void(types.intp, lanes), build


@intrinsic
def spread(typing: Any, x: Any) -> Any:
    """One number, sixteen times."""
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _spread(builder, arguments[0])

    return lanes(types.float32), build


@intrinsic
def larger(typing: Any, a: Any, b: Any) -> Any:
    """max(a, b), and b where either is not a number."""
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _larger(builder, *arguments)

    return lanes(lanes, lanes), build


@intrinsic
def exp2(typing: Any, x: Any) -> Any:
    """2**x to rounding, for x <= 0; of less than -126 as of that, and what is not a number stays so."""
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x = _larger(builder, _constant(-126), arguments[0])
        whole = _call(builder, 'rint', x)
        rest = builder.fsub(x, whole)
        power = _constant(POWER[0])
        for coefficient in POWER[1:]:
            power = _call(builder, 'fma', power, rest, _constant(coefficient))
        exponent = builder.shl(builder.fptosi(whole, WORDS), ir.Constant(WORDS, [23] * WIDTH))
        return builder.bitcast(builder.add(builder.bitcast(power, WORDS), exponent), NUMBERS)

    return lanes(lanes), build


def _binary(name: str) -> Any:
    @intrinsic
    def function(typing: Any, a: Any, b: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, name)(*arguments)

        return lanes(lanes, lanes), build

    return function


def _overload(symbol: Any, function: Any) -> None:
    @overload(symbol)
    def choose(a, b):  # Numba wants the very signature of what is returned, annotations too
        return (lambda a, b: function(a, b)) if a is lanes and b is lanes else None


for _symbol, _name in ((operator.add, 'fadd'), (operator.sub, 'fsub'), (operator.mul, 'fmul'),
                       (operator.truediv, 'fdiv')):
    _overload(_symbol, _binary(_name))


@intrinsic(prefer_literal=True)
def multiply_add(typing: Any, out: Any, weights: Any, row_step: Any, step: Any, x: Any, rows: Any, count: Any,
                 fresh: Any) -> Any:
    """out[r] = (out[r] +) the sum of weights[r, i] * x[i] over sixteen i, for each of some rows r.

    Sums stay in registers, and what is loaded of x serves all rows.

    Args:
        out: address of (rows, 16 * count) numbers.
        weights: address of the first; the next row's is ``row_step`` bytes away, the next i's ``step`` bytes.
        x: address of (16, 16 * count) numbers.
        rows, count: how many rows, and how many times sixteen, literals; their product is at most sixteen, for a
            processor with wide registers has 32 of them.
        fresh: a literal, whether out is set; else it is added to.
    """
    literals = (rows, count, fresh)
    rows, count, fresh = (literal.literal_value for literal in literals)
    places = [(row, lane) for row in range(rows) for lane in range(count)]

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, weights, row_step, step, x = arguments[:5]
        address = out.type

        def at(base: Any, offset: int) -> Any:
            return _at(builder, builder.add(base, address(offset)), NUMBERS)

        sums = {(row, lane): _constant(0) if fresh else builder.load(at(out, (row * count + lane) * BYTES), align=4)
                for row, lane in places}
        for i in range(WIDTH):
            loaded = [builder.load(at(x, (i * count + lane) * BYTES), align=4) for lane in range(count)]
            for row in range(rows):
                place = builder.add(weights, builder.add(builder.mul(row_step, address(row)),
                                                         builder.mul(step, address(i))))
                weight = _spread(builder, builder.load(_at(builder, place, NUMBER), align=4))
                for lane in range(count):
                    sums[row, lane] = _call(builder, 'fma', weight, loaded[lane], sums[row, lane])
        for row, lane in places:
            builder.store(sums[row, lane], at(out, (row * count + lane) * BYTES), align=4)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5, *literals), build
