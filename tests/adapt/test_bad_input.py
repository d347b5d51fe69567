"""Bad input is refused before time is spent, with file, line, what was found and what was expected."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

import adapt
from lexigraft import InputError
from tests.conftest import write_config


@pytest.fixture
def files(tmp_path, language) -> Path:
    """A copy of the made-up language that a test may spoil."""
    shutil.copytree(language, tmp_path / "data")
    return tmp_path / "data"


def refused(config: Path) -> InputError:
    """Run and return the refusal; no training may have started, and nothing that was there may be lost."""
    before = {p: p.read_bytes() for p in config.parent.rglob("*") if p.is_file() and "runs" not in p.parts}
    with pytest.raises(InputError) as caught:
        adapt.run(config)
    assert not list(config.parent.glob("runs/*/pretrain")), "training was started"
    assert not list(config.parent.glob("runs/*/.partial/pretrain--*")), "training was started"
    assert {p: p.read_bytes() for p in before} == before
    return caught.value


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"", None, "empty"),
        (b"\n \n\n", None, "empty"),
        (b"good line\nbad \xff byte\n", 2, "UTF-8"),
        (b"only one line of text here\n", None, "line"),
    ],
)
def test_text(tmp_path, files, tiny_source, content, line, said):
    (files / "text.txt").write_bytes(content)
    error = refused(write_config(tmp_path / "r.yaml", tiny_source, files))
    assert str(files / "text.txt") in str(error) and said in str(error)
    assert error.line == line


def test_vocabulary_larger_than_the_text_can_give(tmp_path, files, tiny_source):
    error = refused(write_config(tmp_path / "r.yaml", tiny_source, files, tokenizer__vocab_size=90_000))
    numbers = [int(word) for word in str(error).replace(",", "").split() if word.isdigit()]
    assert "90000" in str(error).replace(",", "") and any(50 < n < 90_000 for n in numbers), error


def test_labels_in_the_wrong_column(tmp_path, files, tiny_source):
    path = files / "pos" / "test.txt"
    rows = [" ".join(reversed(line.split(" "))) for line in path.read_text().split("\n")]
    path.write_text("\n".join(rows))
    error = refused(write_config(tmp_path / "r.yaml", tiny_source, files))
    assert str(path) in str(error) and "column" in str(error)


@pytest.mark.parametrize("task", ["pos", "ner", "sentiment"])
def test_an_unknown_label(tmp_path, files, tiny_source, task):
    path = next((files / task).glob("test.*"))
    lines = path.read_text().split("\n")
    number = 5 if task == "sentiment" else next(i for i, line in enumerate(lines) if line and i > 4)
    separator = "\t" if task == "sentiment" else " "
    lines[number] = lines[number].split(separator)[0] + separator + "ZZZ"
    path.write_text("\n".join(lines))
    error = refused(write_config(tmp_path / "r.yaml", tiny_source, files))
    assert str(path) in str(error) and "ZZZ" in str(error)
    assert error.line == number + 1


@pytest.mark.parametrize(
    ("key", "content", "said"),
    [
        ("edits", b"mata: 5\n", "the edit of 'mata' names no old tokens"),
        ("vectors", pickle.dumps({"a": [1]}), "a pickle can run code, it is not opened"),
        ("source_vectors", pickle.dumps({"a": [1]}), "a pickle can run code, it is not opened"),
        ("parallel", b"one\ntwo\n", "parallel texts have not as many lines"),
    ],
)
def test_what_a_transplant_is_given(tmp_path, files, tiny_source, key, content, said):
    given = files / "given.bin"
    given.write_bytes(content)
    other = files / "one.txt"
    other.write_text("one\n")
    transplant = {key: [str(given), str(other)] if key == "parallel" else str(given)}
    error = refused(write_config(tmp_path / "r.yaml", tiny_source, files, transplant=transplant))
    assert said in str(error) and str(given) in str(error)


def test_a_missing_label_file(tmp_path, files, tiny_source):
    (files / "ner" / "test.txt").unlink()
    assert "test.txt" in str(refused(write_config(tmp_path / "r.yaml", tiny_source, files)))


def test_a_model_folder_without_weights(tmp_path, files, tiny_source):
    source = tmp_path / "model"
    shutil.copytree(tiny_source, source)
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    error = refused(write_config(tmp_path / "r.yaml", source, files))
    assert "without weights" in str(error) and "pytorch_model.bin" in str(error)


def test_weights_cut_in_half(tmp_path, files, tiny_source):
    source = tmp_path / "model"
    shutil.copytree(tiny_source, source)
    weights = source / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert "model.safetensors" in str(refused(write_config(tmp_path / "r.yaml", source, files)))


def test_a_tokenizer_without_a_mask_token(tmp_path, files, tiny_source):
    source = tmp_path / "model"
    shutil.copytree(tiny_source, source)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (source / name).is_file():
            settings = json.loads((source / name).read_text())
            settings.pop("mask_token", None)
            (source / name).write_text(json.dumps(settings))
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = {
        ("xmaskx" if piece == "[MASK]" else piece): number for piece, number in tokenizer["model"]["vocab"].items()
    }
    tokenizer["added_tokens"] = [t for t in tokenizer["added_tokens"] if t["content"] != "[MASK]"]
    (source / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = json.loads((source / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    (source / "tokenizer_config.json").write_text(json.dumps(settings))
    error = refused(write_config(tmp_path / "r.yaml", source, files))
    assert "mask" in str(error)


def test_no_such_model(tmp_path, files):
    error = refused(write_config(tmp_path / "r.yaml", Path("no/such-model"), files))
    assert "no/such-model" in str(error) and "hub" in str(error)


def test_a_run_too_large_for_the_disk(tmp_path, files, tiny_source, monkeypatch):
    import adapt.preflight

    usage = adapt.preflight.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(adapt.preflight.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    error = refused(write_config(tmp_path / "r.yaml", tiny_source, files))
    assert "does not fit on the disk" in str(error)


def test_two_processes_on_one_run(tmp_path, files, tiny_source):
    """A run folder that a living process holds is not touched."""
    import os

    import psutil

    from adapt import config, pipeline
    from adapt.files import write_json

    path = write_config(tmp_path / "r.yaml", tiny_source, files)
    folder = pipeline.folder_of(config.load(path))
    parent = psutil.Process(os.getppid())
    write_json(folder / "run.json", {"pid": parent.pid, "created": parent.create_time(), "status": "running"})
    assert f"process {parent.pid}" in str(refused(path))
