"""Cleaning: what is removed and counted, what is set aside, and that it repeats."""

import hashlib
import json
import random

import numpy as np
import pytest

from corpora import clean, repeats
from corpora.clean import Overlap, count_text, prepare
from corpora.repeats import Repeats
from corpora.text import words
from lexigraft import InputError


def lines_of(seed, n):
    draw = random.Random(seed)
    return [" ".join(f"kalma{draw.randrange(5000)}" for _ in range(12)) for _ in range(n)]


def digest(folder):
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("train.txt", "heldout.txt")]


def test_overlap_says_how():
    overlap = Overlap()
    overlap.add(words("a b c d e f g h i j"))
    overlap.add(words("w x y z"))
    overlap.add(words("m n o p q"))
    overlap.add(words("u v"))
    why = {
        "A, b c d e f g h i j!": "exact",
        "x x b c d e f g h i y": "near",
        "a b c d e f g": None,  # seven words of a longer sentence are no run of eight
        "so m n o p q": "near",
        "so w x y z": "contained",
        "U V.": "exact",
        "so u v": None,
    }
    assert {line: overlap.why(words(line)) for line in why} == why


def test_everything_removed_is_counted(tmp_path):
    text = lines_of(0, 400)
    test = lines_of(1, 3)
    dirty = [text[0].upper(), "12 -- 34", test[0], f"xx {test[1]} yy", "ja\x07wabi mai kyau ne sosai", "e\u0301 daya"]
    source = tmp_path / "text.txt"
    source.write_text("\n".join(text + dirty) + "\n\n", encoding="utf-8")
    facts = prepare([source], tmp_path / "out", protect={"pos test": test}, share=0.1)
    assert facts["removed"] == {"duplicate": 1, "exact pos test": 1, "near pos test": 1, "no letters": 1}
    assert facts["mended"] == {"control characters": 1, "not NFC": 1}
    assert facts["read"] == 406 == facts["train"]["lines"] + facts["heldout"]["lines"] + 4
    assert facts == json.loads((tmp_path / "out" / "facts.json").read_text(encoding="utf-8"))
    kept = (tmp_path / "out" / "train.txt").read_text(encoding="utf-8").splitlines()
    held = (tmp_path / "out" / "heldout.txt").read_text(encoding="utf-8").splitlines()
    assert not set(kept) & set(held) and not {*test, "12 -- 34"} & {*kept, *held}
    assert "ja wabi mai kyau ne sosai" in kept + held and "\u00e9 daya" in kept + held
    assert not list((tmp_path / "out").glob("*.part")) and not (tmp_path / "out" / ".staged.txt").exists()


def test_heldout_is_blocks_of_neighbours_and_never_trained_on(tmp_path):
    text = lines_of(2, 2000)
    source = tmp_path / "text.txt"
    source.write_text("\n".join(text), encoding="utf-8")
    facts = prepare([source], tmp_path / "a", share=0.05)
    held = (tmp_path / "a" / "heldout.txt").read_text(encoding="utf-8").splitlines()
    assert facts["heldout"]["lines"] == 100 == len(held)
    places = [text.index(line) for line in held]
    assert {place // 50 for place in places} == {places[0] // 50, places[-1] // 50} and places == sorted(places)
    prepare([source], tmp_path / "b", share=0.05)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    prepare([source], tmp_path / "c", share=0.05, seed=1)
    assert digest(tmp_path / "a") != digest(tmp_path / "c")


def test_given_heldout_shields_the_training_text(tmp_path):
    text = lines_of(3, 100)
    source, held = tmp_path / "text.txt", tmp_path / "held.txt"
    source.write_text("\n".join(text), encoding="utf-8")
    held.write_text("\n".join([*text[:5], *lines_of(4, 30)]), encoding="utf-8")
    facts = prepare([source], tmp_path / "a", heldout=held)
    assert facts["removed"] == {"exact heldout": 5} and facts["train"]["lines"] == 95
    assert facts["heldout"]["lines"] == 35


def test_what_came_before_is_known_whatever_the_portions(tmp_path, monkeypatch):
    monkeypatch.setattr(repeats, "READ", 7)
    keys = np.random.default_rng(0).integers(-40, 40, 300)
    plain = np.array([key in keys[:n].tolist() for n, key in enumerate(keys.tolist())])
    for cuts in ([], [1, 2, 3, 150, 150], list(range(300))):
        with Repeats(tmp_path) as known:
            assert (np.concatenate([known.among(part) for part in np.split(keys, cuts)]) == plain).all()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [True, False], ids=["held-out file", "held-out lines set aside"])
@pytest.mark.parametrize("limit", [None, 3000])
def test_the_size_of_portions_changes_nothing(tmp_path, monkeypatch, given, limit):
    """Lines repeat at a distance; what is counted stops where the text is long enough."""
    text = [line for n, line in enumerate(lines_of(7, 120)) for line in (line, f"e\u0301 {line}", f"{n}", line)]
    text += lines_of(7, 120)
    source, held = tmp_path / "text.txt", tmp_path / "held.txt"
    source.write_text("\n".join(text), encoding="utf-8")
    held.write_text("\n".join(lines_of(8, 30) + text[:2]), encoding="utf-8")
    found = []
    for portions in ((1000, 1000), (1, 4), (1, 1)):
        monkeypatch.setattr(clean, "PORTIONS", portions)
        out = tmp_path / str(portions)
        facts = prepare([source], out, heldout=held if given else None, max_characters=limit, share=0.2)
        found.append((facts, digest(out)))
    assert found[0] == found[1] == found[2]
    if given and limit is None:
        assert found[0][0]["removed"] == {"duplicate": 240, "exact heldout": 2, "no letters": 120}


def test_no_more_lines_are_set_aside_than_asked_for(tmp_path):
    source = tmp_path / "text.txt"
    source.write_text("\n".join(lines_of(2, 3000)), encoding="utf-8")
    whole = prepare([source], tmp_path / "whole", share=0.1, heldout_lines=None)
    less = prepare([source], tmp_path / "less", share=0.1, heldout_lines=199)
    assert whole["heldout"]["lines"] == 300 and less["heldout"]["lines"] == 150
    lines = [(tmp_path / name / "heldout.txt").read_text(encoding="utf-8").splitlines() for name in ("whole", "less")]
    assert set(lines[1]) < set(lines[0])


def test_limit_and_progress(tmp_path):
    source = tmp_path / "text.txt"
    source.write_text("\n".join(lines_of(5, 12_000)), encoding="utf-8")
    seen = []
    facts = prepare(
        [source], tmp_path / "a", max_characters=900_000, progress=lambda done, total, facts: seen.append(done / total)
    )
    assert 899_000 < facts["train"]["characters"] <= 900_000
    assert len(seen) >= 1 and seen == sorted(seen) and seen[-1] <= 1


@pytest.mark.parametrize("given", [True, False], ids=["held-out file", "held-out lines set aside"])
def test_less_text_is_the_start_of_more_and_is_measured_on_the_same_lines(given, tmp_path):
    source, held = tmp_path / "text.txt", tmp_path / "held.txt"
    source.write_text("\n".join(lines_of(5, 3000)), encoding="utf-8")
    held.write_text("\n".join(lines_of(8, 40)), encoding="utf-8")
    for size in (50_000, 100_000):
        prepare([source], tmp_path / str(size), heldout=held if given else None, max_characters=size)
    less, more = ((tmp_path / size / "train.txt").read_text(encoding="utf-8") for size in ("50000", "100000"))
    assert more.startswith(less) and 49_000 < len(less.replace("\n", "")) <= 50_000 < 99_000 < len(more)
    assert digest(tmp_path / "50000")[1] == digest(tmp_path / "100000")[1]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no text in it"),
        (b"\n \n", "no text in it"),
        (b"daya kawai\n", "1 usable line"),
        (b"1\n2\n3\n", "0 usable lines"),
        (b"gida \xff\n", "not UTF-8"),
        pytest.param(b"gida\n" + b"ruwa " * 3_400_000, ":2: a line is too long; found 17,000,000 bytes", id="long"),
    ],
)
def test_bad_text_is_refused_by_name(tmp_path, content, says):
    source = tmp_path / "text.txt"
    source.write_bytes(content)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "train.txt").write_text("what was there", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        prepare([source], tmp_path / "a")
    assert str(caught.value).startswith(str(source)) and says in str(caught.value)
    assert (tmp_path / "a" / "train.txt").read_text(encoding="utf-8") == "what was there"


def test_empty_heldout_is_refused(tmp_path):
    source, held = tmp_path / "text.txt", tmp_path / "held.txt"
    source.write_text("\n".join(lines_of(6, 50)), encoding="utf-8")
    held.write_text("", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        prepare([source], tmp_path / "a", heldout=held)
    assert caught.value.file == held


def test_count_text(tmp_path):
    source = tmp_path / "text.txt"
    source.write_text("sun zo\n\nd\u00e9 \n", encoding="utf-8")
    assert count_text(source) == {"lines": 2, "words": 3, "characters": 8, "bytes": 11}
