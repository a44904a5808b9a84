"""Values and expressions of the simulated TiDB: vectors, JSON, and the functions that its documentation describes.

An expression is compiled to a function of a row. Whatever is not written down here is an error, as is every mix of
types that TiDB would convert: the simulation is to accept less than the server does, never more.
"""

import array
import json
import math
from functools import lru_cache, partial
from typing import NamedTuple

from mysql_mimic.errors import SQLSTATES, ErrorCode, MysqlError
from sqlglot import exp

VERSION = "8.0.11-TiDB-v8.5.0"


def fail(code, message, state="HY000"):
    """An error with a number that the library of the protocol does not know by name."""
    number = int.__new__(ErrorCode, code)
    number._name_, number._value_ = f"TIDB_{code}", code
    SQLSTATES[number] = state.encode()
    return MysqlError(message, number)


# -- JSON and vectors ------------------------------------------------------------------------------------------------


class Json(NamedTuple):
    """A JSON value: what came of its text, and the scalars in it, with their kinds."""

    value: object
    members: frozenset


def of_json(value):
    items = value if isinstance(value, list) else [value]
    scalars = [item for item in items if not isinstance(item, list | dict)]
    return Json(value, frozenset((_kind(item), item) for item in scalars))


def _kind(item):
    return "number" if isinstance(item, int | float) and not isinstance(item, bool) else type(item).__name__


def _integer(digits):
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else float(digits)


@lru_cache(maxsize=50_000)
def json_of_text(text):
    try:
        return of_json(json.loads(text, parse_int=_integer, parse_constant=lambda name: 1 / 0))
    except (ValueError, ZeroDivisionError):
        raise fail(3141, "Invalid JSON text in argument.", "22032") from None


def as_json(value):
    if isinstance(value, Json):
        return value
    if isinstance(value, str):
        return json_of_text(value)
    raise fail(3146, "Invalid data type for JSON data.", "22032")


def vector_of_text(text):
    """Single precision, as the server keeps it."""
    try:
        numbers = json.loads(text, parse_constant=lambda name: 1 / 0)
        if not isinstance(numbers, list) or any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
            raise ValueError(text)
        return array.array("f", numbers)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise fail(1105, f"Invalid vector text: {text[:40]}") from None


def text_of_vector(vector):
    return f"[{','.join(f'{number:.9g}' for number in vector)}]"


_literal_vector = lru_cache(maxsize=64)(vector_of_text)


def cosine_distance(one, other):
    one, other = (_literal_vector(value) if isinstance(value, str) else value for value in (one, other))
    if not isinstance(one, array.array) or not isinstance(other, array.array):
        raise fail(1105, "VEC_COSINE_DISTANCE takes vectors.")
    if len(one) != len(other):
        raise fail(1105, f"vectors have different dimensions: {len(one)} and {len(other)}")
    norms = math.hypot(*one) * math.hypot(*other)
    return 1.0 - sum(map(float.__mul__, one, other)) / norms if norms else None


# -- functions -------------------------------------------------------------------------------------------------------


def json_type(value):
    value = as_json(value).value
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        return "INTEGER" if value < 2**63 else "UNSIGNED INTEGER"
    return {float: "DOUBLE", str: "STRING", list: "ARRAY", dict: "OBJECT", type(None): "NULL"}[type(value)]


def json_unquote(value):
    held = as_json(value).value
    return held if isinstance(held, str) else json.dumps(held, ensure_ascii=False)


def json_overlaps(one, other):
    return int(bool(as_json(one).members & as_json(other).members))


def json_contains(target, candidate):
    target, candidate = as_json(target), as_json(candidate)
    if isinstance(candidate.value, list | dict) or isinstance(target.value, dict):
        raise fail(1235, "The simulation looks for scalars in lists alone.", "42000")
    return int(candidate.members <= target.members)


def cast(kind, value):
    if isinstance(value, Json):
        value = json.dumps(value.value, ensure_ascii=False)
    if not isinstance(value, str | bytes):
        raise fail(1235, "The simulation casts texts alone.", "42000")
    if kind == "BINARY":
        return value.encode() if isinstance(value, str) else value
    return value if isinstance(value, str) else value.decode()


def same_kind(*values):
    """Texts as bytes when one of them is; TiDB would convert the rest, the simulation does not."""
    if all(isinstance(value, str) for value in values):
        return values
    if all(isinstance(value, str | bytes) for value in values):
        return tuple(value.encode() if isinstance(value, str) else value for value in values)
    raise fail(1235, f"The simulation does not convert {[type(value).__name__ for value in values]}.", "42000")


def compared(sign, one, other):
    if isinstance(one, Json) or isinstance(other, Json):
        one, other = (value.value if isinstance(value, Json) else value for value in (one, other))
        if _kind(one) != "number" or _kind(other) != "number":
            raise fail(1235, "The simulation compares numbers in JSON alone.", "42000")
    elif not (_kind(one) == _kind(other) == "number"):
        one, other = same_kind(one, other)
        if isinstance(one, str):  # the collation utf8mb4_bin pads
            one, other = one.rstrip(" "), other.rstrip(" ")
    return int(getattr(type(one), sign)(one, other) if type(one) is type(other) else _mixed(sign, one, other))


def _mixed(sign, one, other):
    return {"__eq__": one == other, "__lt__": one < other, "__le__": one <= other}[sign]


def locate(text, part):
    text, part = same_kind(text, part)
    return text.find(part) + 1


def replaced(text, old, new):
    text, old, new = same_kind(text, old, new)
    return text.replace(old, new)


def piece(text, delimiter, count):
    if count != -1:
        raise fail(1235, "The simulation takes the last piece alone.", "42000")
    return text.rpartition(delimiter)[2]


def ending(left, text, length):
    (text,) = same_kind(text)
    return text[:length] if left else text[max(0, len(text) - length) :]


# -- expressions -----------------------------------------------------------------------------------------------------

SIGNS = {
    exp.EQ: ("__eq__", False),
    exp.LT: ("__lt__", False),
    exp.LTE: ("__le__", False),
    exp.GT: ("__lt__", True),
    exp.GTE: ("__le__", True),
}
NAMED = {
    "VEC_COSINE_DISTANCE": (2, cosine_distance),
    "JSON_OVERLAPS": (2, json_overlaps),
    "JSON_CONTAINS": (2, json_contains),
    "JSON_UNQUOTE": (1, json_unquote),
}


def strictly(function, *parts):
    """A function of a row that is NULL when one of its arguments is."""

    def call(row):
        values = [part(row) for part in parts]
        return None if any(value is None for value in values) else function(*values)

    return call


def compiled(node, columns, database=""):
    """A function of a row from a parsed expression over some columns."""
    inner = partial(compiled, columns=columns, database=database)
    if isinstance(node, exp.Literal):
        value = node.this if node.is_string else (float(node.this) if set(node.this) & set(".eE") else int(node.this))
        return lambda row: value
    if isinstance(node, exp.Boolean):
        return lambda row: int(node.this)
    if isinstance(node, exp.Null):
        return lambda row: None
    if isinstance(node, exp.CurrentVersion):
        return lambda row: VERSION
    if isinstance(node, exp.CurrentSchema):
        return lambda row: database
    if isinstance(node, exp.Column):
        if node.name not in columns:
            raise fail(1054, f"Unknown column '{node.name}' in 'field list'", "42S22")
        return lambda row: row[node.name]
    if isinstance(node, exp.Paren):
        return inner(node.this)
    if isinstance(node, exp.Neg):
        return strictly(lambda value: -value, inner(node.this))
    if type(node) in SIGNS:
        sign, turned = SIGNS[type(node)]
        parts = [inner(node.this), inner(node.expression)]
        return strictly(partial(compared, sign), *(parts[::-1] if turned else parts))
    if isinstance(node, exp.And | exp.Or):
        return logic(isinstance(node, exp.And), [inner(part) for part in node.flatten()])
    if isinstance(node, exp.Not):
        return strictly(lambda value: int(not value), inner(node.this))
    if isinstance(node, exp.In):
        return among(node, inner)
    if isinstance(node, exp.Case):
        return case(node, inner)
    return function(node, inner)


def logic(every, parts):
    def call(row):
        unknown = False
        for part in parts:
            value = part(row)
            if value is None:
                unknown = True
            elif bool(value) is not every:
                return int(not every)
        return None if unknown else int(every)

    return call


def among(node, inner):
    literals = node.expressions
    if not literals or not all(isinstance(item, exp.Literal) and item.is_string for item in literals):
        raise fail(1064, "The simulation takes lists of texts.", "42000")
    held, part = {item.this for item in literals}, inner(node.this)
    return strictly(lambda value: int(same_kind(value)[0] in held), part)


def case(node, inner):
    of = inner(node.this) if node.this else None
    branches = [(inner(branch.this), inner(branch.args["true"])) for branch in node.args["ifs"]]
    otherwise = inner(node.args["default"]) if node.args.get("default") else lambda row: None

    def call(row):
        value = of(row) if of else None
        for condition, result in branches:
            told = condition(row)
            if (value is not None and compared("__eq__", value, told)) if of else told:
                return result(row)
        return otherwise(row)

    return call


def function(node, inner):
    """The functions, each by the class or the name that the parser gives it."""
    match node:
        case exp.Add() | exp.Sub() | exp.IntDiv():
            sign = {exp.Add: float.__add__, exp.Sub: int.__sub__, exp.IntDiv: int.__floordiv__}[type(node)]
            exact = float if isinstance(node, exp.Add) else int
            parts = inner(node.this), inner(node.expression)
            return strictly(lambda one, other: sign(exact(one), exact(other)), *parts)
        case exp.Length():
            return strictly(lambda text: len(same_kind(text)[0]), inner(node.this))
        case exp.Replace():
            return strictly(replaced, inner(node.this), inner(node.expression), inner(node.args["replacement"]))
        case exp.ConcatWs():
            parts = [inner(part) for part in node.expressions]
            return strictly(lambda joint, *texts: joint.join(map(str, texts)), *parts)
        case exp.Left() | exp.Right():
            cut = partial(ending, isinstance(node, exp.Left))
            return strictly(cut, inner(node.this), inner(node.expression))
        case exp.SubstringIndex():
            parts = inner(node.this), inner(node.args["delimiter"]), inner(node.args["count"])
            return strictly(piece, *parts)
        case exp.StrPosition():
            return strictly(locate, inner(node.this), inner(node.args["substr"]))
        case exp.Cast() if node.to.this.name in ("CHAR", "BINARY"):
            return strictly(partial(cast, node.to.this.name), inner(node.this))
        case exp.JSONExtract() if len(path := node.expression.expressions) == 2:
            return strictly(lambda value: _member(as_json(value).value, path[1].this), inner(node.this))
        case exp.JSONType():
            return strictly(json_type, inner(node.this))
        case exp.Anonymous(this=name) if name.upper() in NAMED:
            count, named = NAMED[name.upper()]
            if len(node.expressions) != count:
                raise fail(1582, f"Incorrect parameter count in the call to native function '{name}'", "42000")
            return strictly(named, *[inner(part) for part in node.expressions])
    raise fail(1305, f"FUNCTION {node.sql('mysql')[:60]} does not exist", "42000")


def _member(value, key):
    return of_json(value[key]) if isinstance(value, dict) and key in value else None
