"""What a Weaviate server holds, for tests: collections, tenants, objects, and what may be asked of them.

It keeps what is easy to get wrong: a tenant that is missing is an error, a property that is not indexed cannot be
filtered or searched, a condition's value has the type of its property, the opposite of an index's row also holds
numbers of objects that are gone, lists are at most 10,000 long, and a write to an unknown collection makes a wrong one.
It compares with every vector, where Weaviate walks a graph.
"""

from __future__ import annotations

import math
import re
import struct
import uuid
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from operator import mul
from typing import Any

MOST = 10_000
CLASS = re.compile(r"[A-Z][_0-9A-Za-z]{0,254}")
PROPERTY = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,230}")
TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
TYPES = ("text", "text[]", "int", "int[]", "number", "number[]", "boolean", "boolean[]", "date", "uuid", "object")
TOKENIZATIONS = ("word", "lowercase", "whitespace", "field", "trigram", "gse", "kagome_ja", "kagome_kr")
DISTANCES = ("cosine", "dot", "l2-squared", "hamming", "manhattan")
KEYS = {
    "class": str,
    "description": str,
    "vectorizer": str,
    "vectorIndexType": str,
    "vectorIndexConfig": dict,
    "multiTenancyConfig": dict,
    "invertedIndexConfig": dict,
    "replicationConfig": dict,
    "properties": list,
}
EQUAL, NOT_EQUAL, AND, OR, CONTAINS_ANY, CONTAINS_ALL = 1, 2, 7, 8, 12, 13


class Refused(Exception):
    """What the server answers instead; the REST interface gives it a status, the gRPC one the code UNKNOWN."""

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


def check_collection(body: Any) -> None:
    """A collection that is made as the reference of collections says."""
    if not isinstance(body, dict) or not all(key in KEYS and isinstance(body[key], KEYS[key]) for key in body):
        raise Refused(f"parsing collection: {body}")
    if not CLASS.fullmatch(body.get("class", "")):
        raise Refused(f"'{body.get('class')}' is not a valid class name")
    if body.get("vectorizer") != "none" or body.get("vectorIndexType", "hnsw") not in ("hnsw", "flat", "dynamic"):
        raise Refused("no module with this vectorizer or vector index is present")
    if body.get("vectorIndexConfig", {}).get("distance", "cosine") not in DISTANCES:
        raise Refused("invalid distance metric")
    check_flags(body.get("multiTenancyConfig", {}), ("enabled", "autoTenantCreation", "autoTenantActivation"))
    inverted = body.get("invertedIndexConfig", {})
    if not inverted.keys() <= {"stopwords", "bm25"} or inverted.get("stopwords", {}).get("preset") not in (
        "en",
        "none",
    ):
        raise Refused("invalid inverted index config")
    names = Counter(check_property(property) for property in body.get("properties", []))
    if any(count > 1 for count in names.values()):
        raise Refused("duplicate property")


def check_property(body: Any) -> str:
    known = {"name", "dataType", "tokenization", "indexFilterable", "indexSearchable", "description"}
    name = body.get("name", "")
    if not body.keys() <= known or not PROPERTY.fullmatch(name) or name in ("id", "_id", "_additional"):
        raise Refused(f"'{name}' is not a valid property")
    if not isinstance(body.get("dataType"), list) or len(body["dataType"]) != 1 or body["dataType"][0] not in TYPES:
        raise Refused(f"invalid dataType of '{name}'")
    text = body["dataType"][0].startswith("text")
    if ("tokenization" in body or body.get("indexSearchable")) and not text:
        raise Refused(f"tokenization of '{name}', which is no text")
    if body.get("tokenization", "word") not in TOKENIZATIONS:
        raise Refused(f"tokenization {body['tokenization']} is not supported")
    check_flags({key: value for key, value in body.items() if key.startswith("index")}, known)
    return str(name.lower())


def check_flags(flags: dict[str, Any], known: Any) -> None:
    if not all(key in known and isinstance(value, bool) for key, value in flags.items()):
        raise Refused(f"unknown key, or no boolean, in {flags}")


class Object:
    """An object of a tenant, with the number that the indexes know it by."""

    def __init__(self, number: int, id: str, values: dict[str, Any], vector: tuple[float, ...]) -> None:
        self.number, self.id, self.values, self.vector = number, id, values, vector


class Tenant:
    """A shard of its own: objects by id, the index of lists, and how many numbers were ever given."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.index: dict[tuple[str, str], set[int]] = {}
        self.order: list[str] = []
        self.given = 0

    def put(self, id: str, values: dict[str, Any], vector: tuple[float, ...]) -> None:
        if id in self.objects:
            self.remove(id)
        held = self.objects[id] = Object(self.given, id, values, vector)
        insort(self.order, id)
        self.given += 1
        for name, value in members(held):
            self.index.setdefault((name, value), set()).add(held.number)

    def remove(self, id: str) -> None:
        held = self.objects.pop(id)
        del self.order[bisect_left(self.order, id)]
        for name, value in members(held):
            self.index[name, value].discard(held.number)

    def after(self, id: str, limit: int) -> list[Object]:
        """The objects behind a place, in the order of their ids."""
        place = bisect_right(self.order, id)
        return [self.objects[found] for found in self.order[place : place + limit]]

    @property
    def dimension(self) -> int | None:
        return next((len(held.vector) for held in self.objects.values()), None)


def members(held: Object) -> list[tuple[str, str]]:
    return [(name, value) for name, values in held.values.items() if isinstance(values, list) for value in values]


class Collection:
    """A collection with its tenants."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.tenants: dict[str, Tenant] = {}
        self.properties = {property["name"]: property for property in body.get("properties", [])}

    @property
    def name(self) -> str:
        return str(self.body["class"])

    def flag(self, name: str) -> bool:
        return bool(self.body.get("multiTenancyConfig", {}).get(name, False))

    def check_tenancy(self, tenant: str) -> None:
        if self.flag("enabled") and not tenant:
            raise Refused(f"class {self.name} has multi-tenancy enabled, but request was without tenant")
        if tenant and not self.flag("enabled"):
            raise Refused(f"class {self.name} has multi-tenancy disabled, but request was with tenant")

    def tenant(self, name: str, *, writing: bool = False) -> Tenant:
        self.check_tenancy(name)
        if writing and name not in self.tenants and self.flag("autoTenantCreation"):
            self.add_tenant(name)
        if name not in self.tenants:
            raise Refused(f'tenant not found: "{name}"')
        return self.tenants[name]

    def add_tenant(self, name: str) -> None:
        if not TENANT.fullmatch(name):
            raise Refused("tenant name should only contain alphanumeric characters, underscore and hyphen, 1 to 64")
        self.tenants.setdefault(name, Tenant())

    def property(self, name: str) -> dict[str, Any]:
        if name not in self.properties:
            raise Refused(f"no such prop with name '{name}' found in class '{self.name}' in the schema")
        return self.properties[name]

    # -- writing -----------------------------------------------------------------------------------------------------

    def put(self, tenant: str, id: str, values: dict[str, Any], vector: bytes) -> None:
        shard = self.tenant(tenant, writing=True)
        try:
            uuid.UUID(id)
        except ValueError:
            raise Refused(f"invalid UUID: {id}") from None
        for name, value in values.items():
            kind = self.property(name)["dataType"][0]
            right = isinstance(value, list) if kind == "text[]" else kind == "text" and isinstance(value, str)
            if not right:
                raise Refused(f"invalid {kind} property '{name}' on class '{self.name}'")
        numbers = numbers_of(vector)
        wanted = shard.dimension
        if wanted not in (None, len(numbers)):
            raise Refused(f"new node has a vector with length {len(numbers)}. Existing nodes have length {wanted}")
        norm = math.hypot(*numbers)
        shard.put(id, values, tuple(number / norm for number in numbers))

    # -- conditions --------------------------------------------------------------------------------------------------

    def numbers(self, shard: Tenant, filters: Any) -> set[int]:
        """The numbers that a condition leaves, some of objects that are gone."""
        if filters.operator in (AND, OR):
            if len(filters.filters) < 1:
                raise Refused("And and Or need operands")
            parts = [self.numbers(shard, part) for part in filters.filters]
            return set.intersection(*parts) if filters.operator == AND else set.union(*parts)
        name = filters.target.property or (filters.on[0] if len(filters.on) == 1 else "")
        if filters.operator in (CONTAINS_ANY, CONTAINS_ALL):
            wanted = list(filters.value_text_array.values)
            if not wanted or filters.value_text:
                raise Refused(f"value type of {name} should be a list of texts, and not an empty one")
            rows = [self.row(shard, name, value) for value in wanted]
            return set.union(*rows) if filters.operator == CONTAINS_ANY else set.intersection(*rows)
        if filters.operator not in (EQUAL, NOT_EQUAL):
            raise Refused(f"unknown filter operator {filters.operator}")
        if not filters.value_text or filters.HasField("value_text_array"):
            raise Refused(f"data type filter of {name} cannot use a value that is no text")
        row = self.row(shard, name, filters.value_text)
        return row if filters.operator == EQUAL else set(range(shard.given)) - row

    def row(self, shard: Tenant, name: str, value: str) -> set[int]:
        if name == "_id":
            return {shard.objects[value].number} if value in shard.objects else set()
        property = self.property(name)
        if not property.get("indexFilterable", True):
            raise Refused(f"Filtering by property '{name}' requires inverted index")
        if property.get("tokenization") != "field" or property["dataType"][0] != "text[]":
            raise Refused("this stand-in filters lists of texts that are taken whole")
        return set(shard.index.get((name, value), ()))

    def left(self, shard: Tenant, filters: Any | None) -> list[Object]:
        """The objects that a condition leaves."""
        if filters is None:
            return list(shard.objects.values())
        numbers = self.numbers(shard, filters)
        return [held for held in shard.objects.values() if held.number in numbers]

    # -- searching ---------------------------------------------------------------------------------------------------

    def near(self, shard: Tenant, objects: list[Object], vector: bytes) -> list[tuple[Object, float]]:
        """Objects and their distances, the nearest first."""
        asked = numbers_of(vector)
        if shard.dimension not in (None, len(asked)):
            raise Refused(f"vector lengths don't match: {len(asked)} vs {shard.dimension}")
        norm = math.hypot(*asked)
        unit = [number / norm for number in asked]
        return sorted(((held, 1.0 - sum(map(mul, unit, held.vector))) for held in objects), key=lambda item: item[1])

    def words(
        self, shard: Tenant, objects: list[Object], query: str, properties: list[str]
    ) -> list[tuple[Object, float]]:
        """Objects and their rank, best first: those that share a word, which is what stands between spaces."""
        if not query or len(properties) != 1:
            raise Refused("this stand-in searches one property for one word or more")
        property = self.property(properties[0])
        if not property.get("indexSearchable", True) or property.get("tokenization") != "whitespace":
            raise Refused(f"Searching by property '{properties[0]}' requires inverted index")
        held = {each: Counter(each.values.get(properties[0], "").split()) for each in shard.objects.values()}
        mean = sum(counts.total() for counts in held.values()) / max(1, len(held))
        allowed, found = set(objects), Counter[Object]()
        for word in dict.fromkeys(query.split()):
            sharing = {each: counts[word] for each, counts in held.items() if counts[word]}
            weight = math.log(1 + (len(held) - len(sharing) + 0.5) / (len(sharing) + 0.5))
            for each, count in sharing.items():
                if each in allowed:
                    long = 0.25 + 0.75 * held[each].total() / mean
                    found[each] += weight * count * 2.2 / (count + 1.2 * long)  # type: ignore[assignment]
        return found.most_common()


def numbers_of(vector: bytes) -> tuple[float, ...]:
    if not vector or len(vector) % 4:
        raise Refused("a vector is made of numbers of 32 bits")
    return struct.unpack(f"<{len(vector) // 4}f", vector)
