"""A JSON Schema as a tree of form fields: what to ask, in which kind of widget, within which limits.

Nothing here knows the run's configuration: a new option of a method or task appears in the form by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["group", "flag", "choice", "choices", "integer", "number", "text", "path", "list", "rows", "yaml"]
_NAMES = {
    "heldout": "held-out",
    "lr": "learning rate",
    "lm": "LM",
    "pos": "POS",
    "ner": "NER",
    "lora": "LoRA",
    "dora": "DoRA",
    "ia3": "IA3",
    "bitfit": "BitFit",
    "mlm": "MLM",
    "clm": "CLM",
    "ema": "EMA",
    "ofa": "OFA",
    "omp": "OMP",
    "clp": "CLP",
    "focus": "FOCUS",
    "wechsel": "WECHSEL",
    "tokenadapt": "TokenAdapt",
    "bm25": "BM25",
    "tensorboard": "TensorBoard",
    "vocab": "vocabulary",
}


@dataclass(frozen=True)
class Field:
    """One question of the form.

    Attributes:
        path: keys from the top of the configuration.
        kind: which widget; `list` holds items of the kind `item`, one a line; `rows` holds rows with a cell for each of
            the children.
        help: what the schema says about it.
        required: it has no default and may not be left out.
        optional: it may be null; for a group: the whole group may be left out.
        default: what is taken when nothing is given; None for groups.
        choices: allowed values of `choice` and `choices`.
        suggestions: known good values of a text (`examples` in the schema); others are accepted.
        item: kind of a list's items.
        low, high: limits of a number, both included; None where there is none.
        children: fields of a group, columns of rows.
        named: the first cell of a row is a key, and the second its value: the setting is a mapping, not a list.
    """

    path: tuple[str, ...]
    kind: Kind
    help: str = ""
    required: bool = False
    optional: bool = False
    default: Any = None
    choices: tuple[Any, ...] = ()
    suggestions: tuple[str, ...] = ()
    item: Kind = "text"
    low: float | None = None
    high: float | None = None
    children: tuple[Field, ...] = ()
    named: bool = False

    @property
    def key(self) -> str:
        """Dotted name, as in `pretrain.steps=2000`."""
        return ".".join(self.path)

    @property
    def label(self) -> str:
        """The last key as people write it: `vocab_size` becomes `Vocabulary size`."""
        words = [_NAMES.get(word, word) for word in re.split(r"[_-]", self.path[-1])] if self.path else []
        text = " ".join(words)
        return text[:1].upper() + text[1:]

    def leaves(self) -> list[Field]:
        """Return all fields below this one that are no groups."""
        return [self] if self.kind != "group" else [leaf for child in self.children for leaf in child.leaves()]

    def groups(self) -> list[Field]:
        """Return this group and all groups below it."""
        inner = [group for child in self.children if child.kind == "group" for group in child.groups()]
        return [self, *inner] if self.kind == "group" else []


def fields(schema: dict[str, Any]) -> Field:
    """Make the form of a JSON Schema, as pydantic writes it.

    Args:
        schema: an object schema; references into its own `$defs` are followed.
    """
    return _field((), schema, schema.get("$defs", {}), required=True)


def _field(path: tuple[str, ...], schema: dict[str, Any], known: dict[str, Any], *, required: bool) -> Field:
    schema, optional = _plain(schema, known)
    common: dict[str, Any] = {
        "path": path,
        "help": schema.get("description", ""),
        "required": required,
        "optional": optional,
        "default": schema.get("default"),
    }
    if "enum" in schema or "const" in schema:
        return Field(kind="choice", choices=tuple(schema.get("enum") or [schema["const"]]), **common)
    kind = schema.get("type")
    if columns := _columns(path, schema, known):
        common["default"] = common["default"] or ({} if kind == "object" else [])
        return Field(kind="rows", children=columns, named=kind == "object", **common)
    if kind == "object" and "properties" in schema:
        needed = schema.get("required", [])
        inner = schema["properties"].items()
        children = tuple(_field((*path, name), child, known, required=name in needed) for name, child in inner)
        return Field(kind="group", children=children, **{**common, "default": None})
    if kind == "array":
        item = _field(path, schema.get("items", {}), known, required=True)
        common["default"] = list(common["default"] or [])
        if item.kind == "choice":
            return Field(kind="choices", choices=item.choices, **common)
        if item.kind in ("text", "path", "integer", "number"):
            return Field(kind="list", item=item.kind, **common)
    if kind == "boolean" and not optional:
        return Field(kind="flag", **common)
    if kind == "boolean":
        return Field(kind="choice", choices=(True, False), **common)
    if kind in ("integer", "number"):
        low, high = _limits(schema, whole=kind == "integer")
        return Field(kind="integer" if kind == "integer" else "number", low=low, high=high, **common)
    if kind == "string":
        suggestions = tuple(str(example) for example in schema.get("examples", []))
        return Field(kind="path" if schema.get("format") in _PATHS else "text", suggestions=suggestions, **common)
    return Field(kind="yaml", **common)


def _columns(path: tuple[str, ...], schema: dict[str, Any], known: dict[str, Any]) -> tuple[Field, ...]:
    """Return the columns of a list of tuples, or of a mapping from names to files; none of anything else."""
    named = schema.get("patternProperties") or schema.get("additionalProperties")
    if schema.get("type") == "array" and "prefixItems" in (items := schema.get("items", {})):
        cells = {cell.get("title", str(number)): cell for number, cell in enumerate(items["prefixItems"], 1)}
    elif schema.get("type") == "object" and "properties" not in schema and isinstance(named, dict):
        value = next(iter(named.values())) if "patternProperties" in schema else named
        paths = value.get("items", {}).get("format") in _PATHS
        cells = {"name": {"type": "string"}, "files" if paths else "value": value}
    else:
        return ()
    made = tuple(_field((*path, name), cell, known, required=True) for name, cell in cells.items())
    fits = all(cell.kind in ("text", "path", "integer", "number") or cell.kind == "list" for cell in made)
    return made if fits else ()


_PATHS = ("path", "file-path", "directory-path")


def _plain(schema: dict[str, Any], known: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the schema without references and without its null alternative, and whether it had one."""
    optional = False
    for _ in range(20):  # a chain of references is short; a circle ends here
        outer = {k: v for k, v in schema.items() if k not in ("$ref", "anyOf", "allOf", "oneOf")}
        if "$ref" in schema:
            schema = {**known.get(schema["$ref"].rsplit("/", 1)[-1], {}), **outer}
            continue
        options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if not options:
            break
        rest = [option for option in options if option.get("type") != "null"]
        optional |= len(rest) < len(options)
        if len(rest) != 1:
            return outer, optional  # several types: asked for as YAML
        schema = {**rest[0], **outer}
    return schema, optional


def _limits(schema: dict[str, Any], *, whole: bool) -> tuple[float | None, float | None]:
    """Return both limits, included; an excluded one of a fraction is left to the validation."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if whole:
        low = schema["exclusiveMinimum"] + 1 if "exclusiveMinimum" in schema else low
        high = schema["exclusiveMaximum"] - 1 if "exclusiveMaximum" in schema else high
    return low, high
