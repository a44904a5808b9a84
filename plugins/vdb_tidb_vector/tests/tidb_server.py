"""A simulated TiDB on 127.0.0.1, written from its documentation: `python tidb_server.py PORT FOLDER`.

It parses each statement, and refuses every one that it does not know: types, clauses, functions, values that do not fit
their column. Rows are in memory, and in a file of FOLDER while it is stopped. It is no TiDB: what it shows is which
statements the plugin makes, and that they mean what the documentation says.
"""

import asyncio
import contextlib
import json
import pickle
import signal
import sys
from functools import cmp_to_key
from pathlib import Path

import sqlglot
from mysql_mimic import IdentityProvider, MysqlServer, User
from mysql_mimic.auth import NativePasswordAuthPlugin
from mysql_mimic.session import BaseSession
from mysql_mimic.variables import GlobalVariables, SessionVariables
from sqlglot import exp
from tidb_values import Json, compiled, fail, json_of_text, text_of_vector, vector_of_text

DATABASE, USER, PASSWORD = "vectors", "dify", "password-of-the-tests"
LARGEST_ENTRY = 6 * 1024 * 1024
LONGEST_VECTOR = 16_383
TABLES = {}


class Table:
    """Columns with their types, the key, the columns under multi-valued indexes, and rows by their key."""

    def __init__(self, columns, key, listed):
        self.columns, self.key, self.listed, self.rows = columns, key, listed, {}


# -- definitions -----------------------------------------------------------------------------------------------------


def create(node):
    if node.kind != "TABLE" or not isinstance(node.this, exp.Schema):
        raise unknown(node)
    name = node.this.this.name
    if name in TABLES:
        if node.args.get("exists"):
            return
        raise fail(1050, f"Table '{DATABASE}.{name}' already exists", "42S01")
    columns, key, listed = {}, None, []
    for part in node.this.expressions:
        if isinstance(part, exp.ColumnDef):
            kinds = [type(constraint.kind) for constraint in part.constraints]
            if kinds != [exp.NotNullColumnConstraint]:
                raise unknown(node)
            columns[part.name] = column_type(part.kind)
        elif isinstance(part, exp.PrimaryKey):
            key = [column.name for column in part.expressions]
        elif isinstance(part, exp.IndexColumnConstraint):
            listed.append(array_of(part))
        else:
            raise unknown(part)
    if not key or any(columns[column][0] != "CHAR" for column in key):
        raise fail(1235, "The simulation takes keys of CHAR alone.", "42000")
    if any(columns[column][0] != "JSON" for column in listed):
        raise fail(3903, "Invalid JSON value for CAST for expression index")
    options = {option.sql("mysql") for option in node.args["properties"].expressions}
    if options != {"DEFAULT CHARACTER SET=utf8mb4", "COLLATE=utf8mb4_bin"}:
        raise unknown(node)
    TABLES[name] = Table(columns, key, listed)


def column_type(kind):
    name, sizes = kind.this.name, [int(size.this.this) for size in kind.expressions]
    if name in ("LONGTEXT", "JSON", "INT") and not sizes:
        return name, 0
    if (name == "CHAR" and sizes and sizes[0] <= 255) or (name == "VECTOR" and sizes and sizes[0] <= LONGEST_VECTOR):
        return name, sizes[0]
    raise fail(1064, f"You have an error in your SQL syntax near '{kind.sql('mysql')}'", "42000")


def array_of(index):
    """The column of `((CAST(column AS UNSIGNED ARRAY)))`."""
    if {key for key, value in index.args.items() if value} == {"this", "expressions"}:
        match index.expressions:
            case [exp.Paren(this=exp.Cast(this=exp.Column() as column, to=kind))] if kind.sql() == "ARRAY<UBIGINT>":
                return column.name
    raise fail(1235, f"This version of TiDB doesn't yet support '{index.sql('mysql')}'", "42000")


def drop(node):
    if node.kind != "TABLE" or len(node.args["tables"]) != 1:
        raise unknown(node)
    name = node.args["tables"][0].name
    if TABLES.pop(name, None) is None and not node.args.get("exists"):
        raise fail(1051, f"Unknown table '{DATABASE}.{name}'", "42S02")


def unknown(node):
    return fail(1064, f"You have an error in your SQL syntax near '{node.sql('mysql')[:80]}'", "42000")


def table_of(node):
    if not isinstance(node, exp.Table) or node.db:
        raise unknown(node)
    if node.name not in TABLES:
        raise fail(1146, f"Table '{DATABASE}.{node.name}' doesn't exist", "42S02")
    return TABLES[node.name]


# -- writing ---------------------------------------------------------------------------------------------------------


def insert(node):
    """Checks all rows, and gives what writes them."""
    if not isinstance(node.this, exp.Schema) or not isinstance(node.expression, exp.Values):
        raise unknown(node)
    table, names = table_of(node.this.this), [column.name for column in node.this.expressions]
    if set(names) != set(table.columns) or len(names) != len(table.columns):
        raise fail(1136, "The simulation takes rows of all columns.", "21S01")
    changed = changes(node.args.get("conflict"), table)
    rows = [checked(table, names, row) for row in node.expression.expressions]

    def write():
        for row in rows:
            key = tuple(row[column] for column in table.key)
            if key not in table.rows:
                table.rows[key] = row
            elif changed is None:
                raise fail(1062, f"Duplicate entry '{'-'.join(key)}' for key 'PRIMARY'", "23000")
            else:
                table.rows[key] = {**table.rows[key], **{column: row[column] for column in changed}}

    return write


def changes(conflict, table):
    """The columns that `ON DUPLICATE KEY UPDATE column = VALUES(column), …` takes from the row."""
    if conflict is None:
        return None
    columns = []
    for item in conflict.expressions:
        given = item.expression
        same = (
            isinstance(given, exp.Anonymous) and given.name == "VALUES" and given.expressions[0].name == item.this.name
        )
        if (
            not isinstance(item, exp.EQ)
            or not same
            or item.this.name not in table.columns
            or not conflict.args["duplicate"]
        ):
            raise unknown(conflict)
        columns.append(item.this.name)
    return columns


def checked(table, names, row):
    if len(row.expressions) != len(names):
        raise fail(1136, "Column count doesn't match value count", "21S01")
    values = [compiled(value, {})({}) for value in row.expressions]
    if sum(len(value) for value in values if isinstance(value, str)) > LARGEST_ENTRY:
        raise fail(8025, "entry too large")
    return {name: fitted(table, name, value) for name, value in zip(names, values, strict=True)}


def fitted(table, name, value):
    kind, size = table.columns[name]
    if value is None:
        raise fail(1048, f"Column '{name}' cannot be null", "23000")
    if kind == "INT":
        if not isinstance(value, int) or not -(2**31) <= value < 2**31:
            raise fail(1264, f"Out of range value for column '{name}'", "22003")
        return value
    if not isinstance(value, str):
        raise fail(1366, f"Incorrect value for column '{name}'")
    if kind == "CHAR" and len(value) > size:
        raise fail(1406, f"Data too long for column '{name}'", "22001")
    if kind == "VECTOR":
        vector = vector_of_text(value)
        if len(vector) != size:
            raise fail(1105, f"vector has {len(vector)} dimensions, does not fit VECTOR({size})")
        return vector
    if kind != "JSON":
        return value
    held = json_of_text(value)
    if name in table.listed:
        if not isinstance(held.value, list) or any(type(item) is not int for item in held.value):
            raise fail(3903, f"Invalid JSON value for CAST for expression index on '{name}'")
        if any(not 0 <= item < 2**64 for item in held.value):
            raise fail(3752, f"Value is out of range for expression index on '{name}' at row 1")
    return held


def delete(node):
    table, where = table_of(node.this), node.args.get("where")
    if where is None or {key for key, value in node.args.items() if value} - {"this", "where", "limit"}:
        raise unknown(node)
    holds, limit = compiled(where.this, table.columns), node.args.get("limit")
    most = compiled(limit.expression, {})({}) if limit else None

    def write():
        for key in [key for key, row in table.rows.items() if holds(row)][:most]:
            del table.rows[key]

    return write


# -- reading ---------------------------------------------------------------------------------------------------------


def select(node):
    if {key for key, value in node.args.items() if value} - {"expressions", "from_", "where", "order", "limit"}:
        raise unknown(node)
    columns, rows = source(node.args["from_"].this) if node.args.get("from_") else ({}, [{}])
    if where := node.args.get("where"):
        holds = compiled(where.this, columns, DATABASE)
        rows = [row for row in rows if holds(row)]
    if len(node.expressions) == 1 and isinstance(node.expressions[0], exp.Count):
        return [(len(rows),)], ["count(*)"]
    shown = [(part.alias_or_name or part.sql("mysql"), part.unalias()) for part in node.expressions]
    parts = [compiled(part, columns, DATABASE) for _, part in shown]
    if order := node.args.get("order"):
        aliases = {name: part for name, part in shown if name not in columns}
        rows = sorted(rows, key=cmp_to_key(ordering(order, columns, aliases)))
    if limit := node.args.get("limit"):
        rows = rows[: compiled(limit.expression, {})({})]
    return [tuple(said(part(row)) for part in parts) for row in rows], [name for name, _ in shown]


def source(node):
    if isinstance(node, exp.Subquery) and node.alias:
        rows, names = select(node.this)
        return dict.fromkeys(names), [dict(zip(names, row, strict=True)) for row in rows]
    if isinstance(node, exp.Table) and (node.db.lower(), node.name.lower()) == ("information_schema", "columns"):
        names = ("table_schema", "table_name", "column_name", "column_type")
        types = [(DATABASE, table, name, kind) for table, held in TABLES.items() for name, kind in held.columns.items()]
        shown = [(*row[:3], row[3][0].lower() + (f"({row[3][1]})" if row[3][1] else "")) for row in types]
        return dict.fromkeys(names), [dict(zip(names, row, strict=True)) for row in shown]
    table = table_of(node)
    return table.columns, list(table.rows.values())


def ordering(order, columns, aliases):
    keys = []
    for item in order.expressions:
        if item.args.get("desc"):
            raise unknown(order)
        part = aliases.get(item.this.name) if isinstance(item.this, exp.Column) else None
        keys.append(compiled(part or item.this, columns))

    def compare(one, other):
        for key in keys:
            first, second = key(one), key(other)
            if first != second:
                return -1 if first < second else 1
        return 0

    return compare


def said(value):
    """A value as it goes over the wire."""
    if isinstance(value, Json):
        return json.dumps(value.value, ensure_ascii=False)
    return text_of_vector(value) if hasattr(value, "typecode") else value


# -- the server ------------------------------------------------------------------------------------------------------


class Session(BaseSession):
    """One connection; what a transaction writes is written when it ends."""

    def __init__(self):
        self.variables = SessionVariables(GlobalVariables())
        self.username = self.database = None
        self.pending = None

    async def handle_query(self, sql, attrs):
        if self.database != DATABASE:
            raise fail(1049, f"Unknown database '{self.database}'", "42000")
        try:
            (node,) = sqlglot.parse(sql, dialect="mysql")
        except (sqlglot.errors.SqlglotError, ValueError):
            raise fail(1064, f"You have an error in your SQL syntax near '{sql[:80]}'", "42000") from None
        match node:
            case exp.Select():
                return select(node)
            case exp.Insert() | exp.Delete():
                write = insert(node) if isinstance(node, exp.Insert) else delete(node)
                self.pending.append(write) if self.pending is not None else write()
            case exp.Create() | exp.Drop() | exp.Commit():  # a definition ends a transaction, too
                writes, self.pending = self.pending or [], None
                for write in writes:
                    write()
                if not isinstance(node, exp.Commit):
                    create(node) if isinstance(node, exp.Create) else drop(node)
            case exp.Transaction():
                self.pending = []
            case exp.Rollback():
                self.pending = None
            case exp.Set():
                setting(node)
            case _:
                raise unknown(node)
        return [], []


def setting(node):
    known = ("SESSION sql_mode = 'STRICT_TRANS_TABLES'", "AUTOCOMMIT = 1", "NAMES utf8mb4")
    for item in node.expressions:
        if item.sql("mysql") not in known:
            raise fail(1193, f"Unknown system variable '{item.sql('mysql')}'")


class Users(IdentityProvider):
    def get_plugins(self):
        return [NativePasswordAuthPlugin()]

    async def get_user(self, username):
        if username != USER:
            return None
        return User(
            name=USER,
            auth_string=NativePasswordAuthPlugin.create_auth_string(PASSWORD),
            auth_plugin=NativePasswordAuthPlugin.name,
        )


async def serve(port, folder):
    kept = Path(folder) / "tables"
    with contextlib.suppress(FileNotFoundError):
        TABLES.update(pickle.loads(kept.read_bytes()))
    server = MysqlServer(Session, identity_provider=Users())
    await server.start_server(host="127.0.0.1", port=port)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    kept.write_bytes(pickle.dumps(TABLES))


if __name__ == "__main__":
    sys.setrecursionlimit(20_000)  # the parser goes down a deep filter call by call
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
