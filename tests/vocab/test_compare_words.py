"""Words cut worst, fixed and broken words, marks, slices, tables and pictures: worked out by hand on a few lines."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from lexigraft import InputError
from tests.conftest import sentences
from tests.vocab.test_compare import metaspace
from vocab.compare import compare, measure, pictures
from vocab.compare.marks import read_marks, write_marks
from vocab.compare.pictures import draw
from vocab.compare.pieces import pieces
from vocab.compare.slices import code_switched, compare_slices, spellings, together, without_diacritics
from vocab.compare.table import figure, records, render
from vocab.compare.words import clinic, fixed_and_broken, frequencies, spelled
from vocab.tokenizer import train_tokenizer
from vocab.tokenizer.extend import extend

LINES = ["gidaje, gida (gidaje) ma ma", "ma gidan 12 12 12 12"]
OLD = metaspace(["▁gida", "je", ",", "▁", "m", "a", "n", "1", "2", "(", ")"])
# Old: gidaje = ▁gida je (twice), ma = ▁ m a (three times), gidan = ▁gida n, 12 = ▁ 1 2 (four times).
NEW = metaspace(["▁gidaje", "▁ma", "▁", "g", "i", "d", "a", "n", "1", "2", "(", ")", ",", "je"])
# New: gidaje and ma whole; gida = ▁ g i d a (once), gidan = ▁ g i d a n.


@pytest.fixture
def both():
    return measure({"old": OLD, "new": NEW}, LINES)


def test_clinic(both):
    """Most pieces beyond the first over the text; numbers and whole words are no cases."""
    cases = clinic(both["old"])
    assert [(case.word, case.frequency, case.pieces) for case in cases] == [
        ("ma", 3, ("▁", "m", "a")),
        ("gidaje", 2, ("▁gida", "je")),
        ("gidan", 1, ("▁gida", "n")),
    ]
    assert cases[1].context == LINES[0] and cases[2].context == LINES[1]
    assert [case.word for case in clinic(both["old"], 1, skip=["ma"])] == ["gidaje"]
    far = measure({"x": OLD}, [f"{'gida ' * 30}gidan {'gida ' * 30}"])["x"]
    assert clinic(far)[0].context.startswith("…") and "gidan" in clinic(far)[0].context


def test_pieces_stand_in_their_order():
    """Counting the tokens of words leaves the words as they were cut: mama has each of its pieces twice."""
    measured = measure({"x": OLD}, ["mama gida mama am"])["x"]
    found = {word: spelled(measured, place) for place, word in enumerate(measured.text.words)}
    assert found == {"mama": ("▁", "m", "a", "m", "a"), "gida": ("▁gida",), "am": ("▁", "a", "m")}


def test_contexts_of_words_with_marks():
    """A word that ends in a combining accent is found with the punctuation around it."""
    found = clinic(measure({"x": OLD}, ["“ma\u0323\u0300”, gida"])["x"])
    assert (found[0].word, found[0].context) == ("ma\u0323\u0300", "“ma\u0323\u0300”, gida")


def test_fixed_and_broken(both):
    found = fixed_and_broken(both["old"], both["new"])
    assert [(c.word, c.before, c.after, c.saved) for c in found.fixed] == [
        ("ma", ("▁", "m", "a"), ("▁ma",), 6),
        ("gidaje", ("▁gida", "je"), ("▁gidaje",), 2),
    ]
    assert [(c.word, c.saved) for c in found.broken] == [("gida", -4), ("gidan", -4)]
    assert found.counts == {"fixed": (2, 5), "broken": (2, 2), "same": (1, 4)}
    assert (found.saved, found.lost) == (8, 8)
    assert list(found.frame["kind"]) == ["fixed", "fixed", "broken", "broken"]
    assert fixed_and_broken(both["old"], both["new"], 1).frame.shape[0] == 2
    with pytest.raises(InputError, match="measured on two texts"):
        fixed_and_broken(both["old"], measure({"new": NEW}, LINES)["new"])


def test_marks(both, tmp_path: Path):
    file = tmp_path / "marks.tsv"
    write_marks(file, clinic(both["old"]))
    assert read_marks(file).seen == ["ma", "gidaje", "gidan"] and read_marks(file).words == []
    filled = file.read_text().replace("ma\t\t", "ma\t=\t", 1).replace("gidaje\t\t", "gidaje\tgida|je\t")
    file.write_text(filled)
    marks = read_marks(file)
    assert marks.words == ["ma"] and marks.cuts == {"gidaje": ["gida", "je"]} and marks.morphemes == ["gida-", "je"]
    assert compare({"x": OLD}, LINES, morphemes=marks.cuts).loc["x", "morpheme_recall"] == 1
    with pytest.raises(InputError, match="may hold marks"):
        write_marks(file, [])
    file.write_text(filled.replace("gida|je", "gida|ji"))
    with pytest.raises(InputError, match=r"marks.tsv:4: this mark says nothing of 'gidaje'; found gida\|ji"):
        read_marks(file)
    with pytest.raises(InputError, match="no such file"):
        read_marks(tmp_path / "nothing.tsv")


def test_spellings():
    assert without_diacritics("Ẹ̀kọ́ ƙasa ɗan Ŋ") == "Eko kasa dan N"
    parts = spellings(["ẹ̀kọ́ ma", "gida ma", "ƙasa"])
    assert {name: list(lines) for name, lines in parts.items()} == {
        "with diacritics": ["ẹ̀kọ́ ma", "ƙasa"],
        "without diacritics": ["eko ma", "kasa"],
    }
    assert list(parts["without diacritics"]) == ["eko ma", "kasa"]  # again


def test_code_switched():
    """`house` is five times as frequent in English, `a` is in both texts; one English word of four is a fifth."""
    own = ["gida ma a gida", "house ma gida a", "ma ma a ma ma ma house"]
    parts = code_switched(own, ["the house is a house", *["house house house a"] * 20], times=2)
    assert parts == {"code-switched": [own[1]], "one language": [own[0], own[2]]}


def test_slices():
    table = compare_slices({"x": OLD, "y": NEW}, {"news": LINES[:1], "none": [], "tweets": LINES[1:]})
    assert list(table.index) == [("news", "x"), ("news", "y"), ("tweets", "x"), ("tweets", "y")]
    assert table.loc[("news", "x"), "fertility"] == compare({"x": OLD}, LINES[:1]).loc["x", "fertility"]
    assert table.attrs["empty"] == ["none"] and table.attrs["slices"]["news"]["text"]["lines"] == 1
    with pytest.raises(InputError, match="no slice has a line"):
        compare_slices({"x": OLD}, {"none": []})


def test_tables_of_slices():
    """One CSV for all; elsewhere a table each, with the metrics that the slice has."""
    rest = compare({"x": OLD, "y": NEW}, LINES[1:])
    whole = together({"a_b": compare({"x": OLD, "y": NEW}, LINES, parallel=(["ma"], ["gida"])), "rest": rest})
    rows = list(csv.DictReader(io.StringIO(render(whole, "csv"))))
    assert [name for name in rows[0]][:3] == ["slice", "metric", "tokenizer"]
    assert {r["slice"] for r in rows if r["metric"] == "parity"} == {"a_b"}
    assert len(rows) == rest.size * 2 + 2
    markdown = render(whole, "markdown")
    assert markdown.startswith("### a_b\n\n| metric ") and markdown.endswith(f"### rest\n\n{render(rest, 'markdown')}")
    assert render(whole, "latex").startswith("\\subsubsection*{a\\_b}\n\\begin{tabular}")
    assert render(whole).count("\nfertility") == 2


def test_tables():
    assert r" \$1\textasciicircum{}\{x\}\textbackslash{} & " in render(compare({"$1^{x}\\": OLD}, LINES), "latex")
    broken = compare({"a <b>\n|c": OLD}, LINES)  # a name stays in its cell, and no sign of it becomes another
    assert r" & a \textless{}b\textgreater{} \textbar{}c & unit \\" in render(broken, "latex")
    assert render(broken, "markdown").startswith("| metric | a <b> \\|c | unit |\n")
    table = compare({"old|1": OLD, "new_2": NEW}, LINES)
    markdown = render(table, "markdown").splitlines()
    assert markdown[0] == r"| metric | old\|1 | new_2 | unit |" and markdown[1] == "| --- | ---: | ---: | --- |"
    row = next(line for line in markdown if line.startswith("| fertility"))
    assert row.startswith("| fertility ↓ | **3.000** [") and " | 3.273 [" in row and row.endswith("tokens per word |")
    assert len(markdown) == 2 + table.shape[1]
    latex = render(table, "latex", intervals=False)
    assert r"new\_2" in latex and r"fertility $\downarrow$ & " in latex and latex.count(r"\\") == 1 + table.shape[1]
    assert r"\textbf{" in latex
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    assert len(rows) == table.size == len(records(table))
    one = next(r for r in rows if (r["metric"], r["tokenizer"]) == ("fertility", "new_2"))
    assert float(one["difference"]) == pytest.approx(table.loc["new_2", "fertility"] - table.loc["old|1", "fertility"])
    assert render(table).splitlines()[0].split() == ["metric", "old|1", "new_2", "unit"]
    with pytest.raises(InputError, match="no table is written so"):
        render(table, "html")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1,234"), (2.72727, "2.727"), (0.012346, "0.01235"), (0, "0"), (float("nan"), "–"), (99.999, "100.00")],
)
def test_figures(value, text):
    assert figure(value) == text


def test_pictures(tmp_path: Path):
    pairs = {"one": (["ma"], ["ma"]), "two": (["gida gida"], ["gida"])}
    measured = measure({"old": OLD, "new": NEW}, LINES * 20, parallel=pairs)
    made = draw(measured, tmp_path / "a", form="svg", title="Hausa")
    assert set(made) == {"fertility_by_size", "lengths", "parity", "ranks", "split_by_frequency"}
    again = draw(measured, tmp_path / "b", form="svg", title="Hausa")
    assert all(made[name].read_bytes() == again[name].read_bytes() for name in made)
    bare = draw(measure({"old": OLD}, LINES), tmp_path / "c")
    assert "parity" not in bare and all(file.read_bytes()[1:4] == b"PNG" for file in bare.values())


def test_what_pictures_show(both):
    """The points are those worked out by hand above, and those are what is drawn."""
    from matplotlib.figure import Figure

    made = {picture.name: picture for picture in pictures.pictures(both)}

    def values(name: str, tokenizer: str, column: str) -> list:
        points = made[name].points
        return points.loc[points["tokenizer"] == tokenizer, column].tolist()

    # Eleven words: gida 1, gidaje 2, ma 3, gidan 1, 12 four times.
    assert values("lengths", "old", "percent") == pytest.approx([100 / 11, 300 / 11, 700 / 11, 0, 0, 0, 0, 0])
    assert values("lengths", "new", "percent") == pytest.approx([500 / 11, 0, 400 / 11, 0, 100 / 11, 100 / 11, 0, 0])
    assert values("lengths", "new", "pieces") == ["1", "2", "3", "4", "5", "6", "7", "8+"]
    assert values("split_by_frequency", "new", "percent") == pytest.approx([600 / 11])
    # Old: ▁ three times before ma, four before 12, once before (; the rest more rarely.
    ranks, times = values("ranks", "old", "rank"), values("ranks", "old", "times")
    assert ranks == [*range(1, len(ranks) + 1)] and times == sorted(times, reverse=True)
    assert times[0] == 8 and sum(times) == both["old"].tokens.sum()
    table = compare({"old": OLD, "new": NEW}, LINES)
    for name, one in both.items():
        assert values("fertility_by_size", name, "vocabulary_size") == [len(one.view)]
        assert values("fertility_by_size", name, "fertility") == [table.loc[name, "fertility"]]
        low, high = table.attrs["intervals"]["fertility"][name]
        assert (values("fertility_by_size", name, "low"), values("fertility_by_size", name, "high")) == ([low], [high])
    assert "parity" not in made
    pairs = {"one": (["ma"], ["ma"]), "two": (["gida gida"], ["gida"])}
    (parity,) = (p for p in pictures.pictures(measure({"old": OLD}, LINES, parallel=pairs)) if p.name == "parity")
    assert parity.points["parity"].tolist() == [1, 2] and parity.points["language"].tolist() == ["one", "two"]

    axes = {name: Figure().subplots() for name in [*made, "parity"]}
    for picture in [*made.values(), parity]:
        pictures.plot(axes[picture.name], picture)
    assert [bar.get_height() for bar in axes["parity"].patches] == [1, 2]
    assert [label.get_text() for label in axes["fertility_by_size"].get_xticklabels()] == ["12", "15"]
    assert {line.get_label(): line.get_ydata().tolist() for line in axes["lengths"].get_lines()} == {
        name: values("lengths", name, "percent") for name in both
    }


def test_ranks_are_thinned_towards_the_rare_pieces():
    """A line of hundreds of thousands of pieces is drawn by few points: the first ones, and the last."""
    words = [f"{chr(0x4E00 + n)}" for n in range(2000)]
    measured = measure({"x": metaspace(["▁", *words])}, [" ".join(words)])
    ranks = next(p for p in pictures.pictures(measured) if p.name == "ranks").points["rank"].tolist()
    assert len(ranks) <= 300 and ranks[:20] == [*range(1, 21)] and ranks[-1] == 2001


@pytest.mark.parametrize(("algorithm", "size"), [("unigram", 140), ("bpe", 200), ("byte-bpe", 400), ("wordpiece", 200)])
def test_what_a_speaker_marked_is_cut_so(algorithm, size, tmp_path: Path):
    """A frequent word stays whole where nothing is said, and is cut where a speaker cut it; a rare one is kept."""
    lines = [*(" ".join(word for word, _, _ in sentence) for sentence in sentences(60, 4)), *["gidajensu na"] * 40]
    lines.append("zuwaja")
    file = tmp_path / "marks.tsv"
    file.write_text("gidajensu\tgidaje|nsu\nzuwaja\t=\n")
    marked = train_tokenizer(lines, algorithm=algorithm, vocab_size=size, marks=file)
    plain = train_tokenizer(lines, algorithm=algorithm, vocab_size=size)
    cuts = [
        [[form for form, _, _ in word] for word in pieces(made, "ma gidajensu zuwaja")[1:]] for made in (plain, marked)
    ]
    assert cuts[0][0] == ["▁gidajensu"] and len(cuts[0][1]) > 1
    assert cuts[1] == [["▁gidaje", "nsu"], ["▁zuwaja"]]
    assert not [notice for notice in marked.facts["notices"] if "marked" in notice]
    said = read_marks(file)
    assert said.disregarded(marked) == []
    assert said.disregarded(plain) == ["2 of 2 marked words are cut in another way: zuwaja, gidajensu"]


@pytest.mark.parametrize("algorithm", ["unigram", "wordpiece", "byte-bpe"])
def test_a_sign_that_a_speaker_leaves_with_a_morpheme(algorithm, tmp_path: Path):
    """An apostrophe at the end of a part of a word is no punctuation: letters follow it in the word."""
    lines = [*(" ".join(word for word, _, _ in sentence) for sentence in sentences(60, 4)), *["ma'aikaci na"] * 40]
    file = tmp_path / "marks.tsv"
    file.write_text("ma'aikaci\tma'|aikaci\nmak'ala\tmak|'ala\n")
    made = train_tokenizer(lines, algorithm=algorithm, vocab_size=420 if algorithm == "byte-bpe" else 150, marks=file)
    said = read_marks(file)
    assert said.disregarded(made) == []
    plain = train_tokenizer(lines, algorithm=algorithm, vocab_size=400 if algorithm == "byte-bpe" else 120)
    longer = extend(plain, lines, 20, words=said.words, morphemes=said.morphemes).tokenizer
    assert {"ma'-", "aikaci", "mak-", "'ala"} == set(said.morphemes) and len(longer) == len(plain) + 20


def test_an_apostrophe_that_begins_a_word():
    """Hausa 'yan is a word; quotation marks are none of one's letters."""
    lines = [*["'yan gida, (‘ya’ya) 'gida' ma"] * 3, "'ma gida' yan"]
    measured = measure({"x": metaspace(["▁'yan", "▁", *"'‘’yangidma,()"])}, lines)["x"]
    places, counts = frequencies(measured.text)
    found = dict(zip((measured.text.words[place] for place in places.tolist()), counts.tolist(), strict=True))
    assert found == {"'yan": 3, "yan": 1, "gida": 7, "‘ya’ya": 3, "ma": 4}
    assert "'yan" not in [case.word for case in clinic(measured)]
