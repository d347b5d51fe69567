"""The readers, the cleaning and the silver labels on real data; golden numbers from data/SOURCES.md."""

import pytest

from corpora.clean import prepare
from corpora.parallel import read_dictionary, read_parallel
from corpora.tasks import leakage, read_classified, read_sentences, read_tagged

SIZES = {  # train, dev, test sentences of POS and NER; leaked test sentences of NER
    "hau": ((753, 150, 601), (5716, 816, 1633), 204),
    "yor": ((893, 178, 713), (6876, 983, 1964), 42),
    "kin": ((757, 151, 604), (7825, 1118, 2235), 10),
    "swa": ((693, 138, 553), (6593, 942, 1883), 14),
    "nya": ((728, 145, 582), (6250, 893, 1785), 7),
}
SPLITS = ("train", "dev", "test")


@pytest.mark.parametrize("code", SIZES)
def test_public_task_files_are_read_and_leakage_is_as_published(shared, code):
    for task, sizes in zip(("pos", "ner"), SIZES[code][:2], strict=True):
        splits = {split: read_tagged(shared / code / task / f"{split}.txt", kind=task) for split in SPLITS}
        assert tuple(map(len, splits.values())) == sizes
        labels = {tag for sentence in splits["train"] for tag in sentence.tags}
        read_tagged(shared / code / task / "test.txt", kind=task, labels=labels)
    assert leakage(splits["train"], splits["test"])["leaked"] == SIZES[code][2]


def test_sentiment_treebank_bitext_and_dictionaries(shared):
    counts = {
        code: len(read_classified(shared / code / "sentiment" / "test.tsv")) for code in ("hau", "yor", "kin", "swa")
    }
    assert counts == {"hau": 5303, "yor": 4515, "kin": 1026, "swa": 748}
    assert len(read_tagged(shared / "yor" / "pos_ud" / "test.conllu")) == 317
    parallel = shared / "hau" / "parallel"
    assert len(read_parallel(parallel / "test.en.txt", parallel / "test.hau.txt")) == 1500
    assert len(read_dictionary(shared / "kin" / "dict.en-kin.tsv")) == 11_175


def test_published_text_is_already_free_of_the_tests_and_its_holdout_overlaps(shared, tmp_path):
    folder = shared / "kin"
    protect = {f"ner {split}": read_sentences(folder / "ner" / f"{split}.txt") for split in ("dev", "test")}
    facts = prepare([folder / "raw" / "train.txt"], tmp_path, heldout=folder / "raw" / "heldout.txt", protect=protect)
    assert facts["read"] == 9990 and facts["heldout"]["lines"] == 1050
    assert not [why for why in facts["removed"] if "ner" in why] and facts["removed"]["near heldout"] == 20
    leaked = prepare(
        [folder / "raw" / "train.txt"], tmp_path, protect={"ner train": read_sentences(folder / "ner" / "train.txt")}
    )
    assert leaked["removed"]["exact ner train"] > 6000


@pytest.mark.slow
def test_silver_labels_against_gold_are_as_published(shared):
    from corpora.sample.measure import measure

    scores = measure(shared / "nya")
    assert scores["pos gold test, CRF"] > 67
    assert scores["ner gold test, CRF"] > 30
    assert scores["sentiment silver test, TF-IDF accuracy"] > scores["sentiment silver test, majority accuracy"] + 10
