"""The form's fields come from any JSON Schema that pydantic writes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from adapt.config import RunConfig
from app.parts.schema import fields


class Inner(BaseModel):
    size: int = Field(3, gt=0, le=9)
    share: float = Field(0.5, gt=0, lt=1)


class Outer(BaseModel):
    name: str
    kind: Literal["a", "b"] = "b"
    on: bool = False
    maybe: bool | None = None
    file: Path | None = None
    files: list[Path] = []
    numbers: list[int] = [1, 2]
    some: list[Literal["x", "y"]] = ["x"]
    either: int | str = 1
    table: dict[str, int] = {}
    pairs: list[tuple[float, int]] = [(0.5, 2)]
    texts: dict[str, list[Path]] = {}
    inner: Inner = Field(default_factory=Inner)
    extra: Inner | None = None
    method: str | None = Field(None, json_schema_extra={"examples": ["mean", "focus"]})


def test_every_kind_of_field():
    top = fields(Outer.model_json_schema())
    found = {child.key: child for child in top.children}
    kinds = {key: child.kind for key, child in found.items()}
    assert kinds == {
        "name": "text",
        "kind": "choice",
        "on": "flag",
        "maybe": "choice",
        "file": "path",
        "files": "list",
        "numbers": "list",
        "some": "choices",
        "either": "yaml",
        "table": "rows",
        "pairs": "rows",
        "texts": "rows",
        "inner": "group",
        "extra": "group",
        "method": "text",
    }
    assert found["name"].required and not found["kind"].required
    assert found["file"].optional and not found["name"].optional
    assert found["files"].item == "path" and found["numbers"].item == "integer"
    assert found["numbers"].default == [1, 2]
    assert [[cell.kind for cell in found[key].children] for key in ("table", "pairs", "texts")] == [
        ["text", "integer"], ["number", "integer"], ["text", "list"]]  # fmt: skip
    assert [found[key].named for key in ("table", "pairs", "texts")] == [True, False, True]
    assert found["pairs"].default == [[0.5, 2]] and found["texts"].default == {}
    assert found["some"].choices == ("x", "y")
    assert found["method"].suggestions == ("mean", "focus")
    assert found["extra"].optional and not found["inner"].optional
    size, share = found["extra"].children
    assert (size.key, size.low, size.high, size.default) == ("extra.size", 1, 9, 3)
    assert (share.low, share.high) == (None, None)  # limits that are excluded are left to the validation


def test_labels_are_words():
    top = fields(Outer.model_json_schema())
    assert [leaf.label for leaf in top.leaves()][:2] == ["Name", "Kind"]
    labels = {leaf.key: leaf.label for leaf in fields(RunConfig.model_json_schema()).leaves()}
    assert labels["tokenizer.vocab_size"] == "Vocabulary size"
    assert labels["pretrain.lr"] == "Learning rate"
    assert labels["evaluate.lm_words"] == "LM words"


def test_the_whole_configuration_has_a_field():
    """No setting is asked for as raw YAML but peft's own options, which differ by type; each says what it is."""
    top = fields(RunConfig.model_json_schema())
    leaves = top.leaves()
    assert len(leaves) > 30
    rows = {leaf.key: [cell.label for cell in leaf.children] for leaf in leaves if leaf.kind == "rows"}
    assert rows == {"corpus.others": ["Name", "Files"],
                    "pretrain.sequence_length_warmup": ["Until share of steps", "Tokens"]}  # fmt: skip
    assert [leaf.key for leaf in leaves if leaf.kind == "yaml"] == ["pretrain.tuning_options.peft.options"]
    assert [leaf.key for leaf in leaves if not leaf.help] == []
    assert {"evaluate.tasks.pos", "evaluate.tasks.ner"} <= {group.key for group in top.groups() if group.optional}
