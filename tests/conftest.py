"""Fixtures of all tests: a tiny source model, a small run through every stage, and the real data where it is."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("LEXIGRAFT_DATA", ROOT.parent / "shared" / "data"))

# Two libraries that each start a thread a core get in each other's way; the commands that tests start inherit this.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("STREAMLIT_BROWSER_GATHER_USAGE_STATS", "false")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Under CI a browser test, or a test on real data that is there, must not be skipped."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        must = "browser" in item.keywords or ("shared" in getattr(item, "fixturenames", ()) and DATA.is_dir())
        if must:
            report.outcome = "failed"
            report.longrepr = f"skipped under CI, where it must run: {report.longrepr[-1]}"
    return report


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the real data (Hausa, Yoruba, Kinyarwanda, Swahili, Chichewa)."""
    if not DATA.is_dir():
        pytest.skip(f"the real data is not there: {DATA}")
    return DATA


_SYLLABLES = [c + v for c in "bdgklmnprstwyz" for v in "aeiou"]
_TAGS = {"NOUN": "ma", "VERB": "ku", "ADJ": "wa", "ADV": "bi"}


def sentences(count: int, seed: int) -> list[list[tuple[str, str, str]]]:
    """Sentences of a made-up language: (word, POS, NER); the prefix decides the tag, capitals are names."""
    draw = random.Random(seed)
    words = random.Random(1)
    lexicon = {tag: [pre + "".join(words.choices(_SYLLABLES, k=2)) for _ in range(40)] for tag, pre in _TAGS.items()}
    names = ["".join(words.choices(_SYLLABLES, k=3)).capitalize() for _ in range(20)]
    found = []
    for _ in range(count):
        line = []
        for _ in range(draw.randint(4, 9)):
            if draw.random() < 0.15:
                name = draw.choice(names)
                line.append((name, "PROPN", "B-PER" if names.index(name) % 2 else "B-LOC"))
            else:
                tag = draw.choice(list(_TAGS))
                line.append((draw.choice(lexicon[tag]), tag, "O"))
        found.append([*line, (".", "PUNCT", "O")])
    return found


def write_language(folder: Path, count: int = 600) -> None:
    """Write text and labelled files of the made-up language."""
    folder.mkdir(parents=True, exist_ok=True)
    text = [" ".join(w for w, _, _ in s[:-1]) + "." for s in sentences(count, 0)]
    (folder / "text.txt").write_text("\n".join(text) + "\n", encoding="utf-8")
    for part, (size, seed) in {"train": (120, 11), "dev": (30, 12), "test": (40, 13)}.items():
        made = sentences(size, seed)
        for column, task in ((1, "pos"), (2, "ner")):
            (folder / task).mkdir(exist_ok=True)
            body = "\n\n".join("\n".join(f"{row[0]} {row[column]}" for row in s) for s in made)
            (folder / task / f"{part}.txt").write_text(body + "\n", encoding="utf-8")
        (folder / "sentiment").mkdir(exist_ok=True)
        rows = []
        for sentence in made:
            words = [w for w, _, _ in sentence[:-1]]
            good = sum(w.startswith("wa") for w in words) > sum(w.startswith("bi") for w in words)
            rows.append(f"{' '.join(words)}\t{'positive' if good else 'negative'}")
        (folder / "sentiment" / f"{part}.tsv").write_text("tweet\tlabel\n" + "\n".join(rows) + "\n", encoding="utf-8")


def make_source(folder: Path, *, head: bool = True) -> Path:
    """Write a tiny random BERT (hidden 32, 2 layers) with a WordPiece tokenizer of an English-like text."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    text = folder / "english.txt"
    draw = random.Random(5)
    stems = ["walk", "talk", "house", "water", "tree", "good", "bad", "see", "king", "land", "mama", "kuda", "wato"]
    endings = ["", "s", "ed", "ing", "er"]
    lines = [" ".join(draw.choice(stems) + draw.choice(endings) for _ in range(8)) + "." for _ in range(400)]
    text.write_text("\n".join(lines) + "\nabcdefghijklmnopqrstuvwxyz . , ! ?\n", encoding="utf-8")
    trainer = BertWordPieceTokenizer(lowercase=True)
    trainer.train([str(text)], vocab_size=200, min_frequency=1, show_progress=False)
    text.unlink()
    tokenizer = BertTokenizerFast(tokenizer_object=trainer._tokenizer, model_max_length=64)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id,
    )
    (BertForMaskedLM(config) if head else BertModel(config)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory) -> Path:
    """Folder of a tiny source model that has a language-modelling head."""
    return make_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory) -> Path:
    """Folder of a tiny source model without a language-modelling head."""
    return make_source(tmp_path_factory.mktemp("base"), head=False)


def other_weights(source: Path, folder: Path) -> Path:
    """Write a model with a source's vocabulary and other weights: noise is added to them."""
    import shutil

    import torch
    from transformers import AutoModelForMaskedLM

    shutil.copytree(source, folder, dirs_exist_ok=True)
    model = AutoModelForMaskedLM.from_pretrained(source)
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_decoder(tmp_path_factory, tiny_source) -> Path:
    """Folder of a tiny Llama with the tiny source's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("decoder")
    tokenizer = AutoTokenizer.from_pretrained(tiny_source)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                         num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64)  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def language(tmp_path_factory) -> Path:
    """Folder with text and labelled files of a made-up language."""
    folder = tmp_path_factory.mktemp("language")
    write_language(folder)
    return folder


def write_config(path: Path, source: Path, language: Path, **more: object) -> Path:
    """Write the YAML of a small run through every stage."""
    config = {
        "language": "mul",
        "source": {"model": str(source)},
        "corpus": {"text": [str(language / "text.txt")]},
        "tokenizer": {"vocab_size": 150},
        "pretrain": {"steps": 6, "batch_tokens": 256, "sequence_length": 32, "precision": "fp32"},
        "evaluate": {
            "lm_words": 40,
            "seeds": [0, 1, 2],
            "tasks": {
                task: {part: str(language / task / f"{part}.{ext}") for part in ("train", "dev", "test")}
                for task, ext in (("pos", "txt"), ("ner", "txt"), ("sentiment", "tsv"))
            },
        },
        "threads": 1,
        "out": str(path.parent / "runs"),
    }
    for key, value in more.items():
        section, _, name = key.partition("__")
        if name:
            config[section][name] = value
        else:
            config[section] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, tiny_source, language):
    """A small run that went through every stage, shared by the tests that look at one."""
    import adapt

    folder = tmp_path_factory.mktemp("run")
    return adapt.run(write_config(folder / "small.yaml", tiny_source, language))
