"""Makes classes of the vendor's published messages (`weaviate_v1.txt`), apart from those that the store makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.unknown_fields import UnknownFieldSet

FILE = Path(__file__).with_name("weaviate_v1.txt")
LEFT_OUT = " (left out)"


class Field(NamedTuple):
    number: int
    name: str
    kind: str
    repeated: bool


def published() -> tuple[dict[str, list[Field]], dict[str, dict[str, int]]]:
    """Messages and enumerations by name."""
    messages: dict[str, list[Field]] = {}
    enums: dict[str, dict[str, int]] = {}
    fields: list[Field] = []
    values: dict[str, int] | None = None
    for line in FILE.read_text().splitlines():
        if line.startswith("#"):
            continue
        if not line.startswith(" "):
            if line.startswith("enum "):
                values = enums.setdefault(line.removeprefix("enum "), {})
            else:
                values, fields = None, messages.setdefault(line, [])
            continue
        number, name, *kind = line.split(maxsplit=2)
        if values is not None:
            values[name] = int(number)
        else:
            fields.append(Field(int(number), name, kind[0].removeprefix("repeated "), kind[0].startswith("repeated ")))
    return messages, enums


def classes() -> dict[str, Any]:
    """A class for each message; a field of a type that is left out holds bytes, an enumeration its number."""
    messages, _ = published()
    described = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="published.proto", package="published", syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name.replace(".", "_"))
        for field in fields:
            made = message.field.add(name=field.name, number=field.number)
            made.label = described.LABEL_REPEATED if field.repeated else described.LABEL_OPTIONAL
            if field.kind in messages:
                made.type = described.TYPE_MESSAGE
                made.type_name = f".published.{field.kind.replace('.', '_')}"
            elif field.kind.endswith(LEFT_OUT):
                made.type = described.TYPE_BYTES
            elif field.kind.startswith("enum "):
                made.type = described.TYPE_INT32
            else:
                made.type = described.Type.Value(f"TYPE_{field.kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindMessageTypeByName
    return {name: message_factory.GetMessageClass(found(f"published.{name.replace('.', '_')}")) for name in messages}


def has_unknown(message: Any) -> bool:
    """Whether a message, or one within it, holds a field that is not published."""
    if len(UnknownFieldSet(message)):
        return True
    for field, value in message.ListFields():
        if field.message_type is not None:
            repeated = hasattr(value, "append") or hasattr(value, "add")
            if any(map(has_unknown, value if repeated else [value])):
                return True
    return False
