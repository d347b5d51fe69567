"""Text, labelled data, bitext and dictionaries: what is read, and what is refused with file, line, found, expected."""

import gzip

import pytest

from corpora.parallel import read_dictionary, read_parallel
from corpora.tasks import leakage, read_classified, read_sentences, read_tagged
from corpora.text import letters, read_lines, words
from lexigraft import InputError

POS = "Kumudzi NOUN\nkwathu ADV\nndi VERB\n\nKoma CCONJ\nanati VERB\n. PUNCT\n"


def put(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(call, *args, **options):
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    return caught.value


# --- text


def test_dirty_text_is_read_clean(tmp_path):
    content = "\ufeffgidan\u200b sarki\r\n\r\n  e\u0301 \ufeffx\r\nlast\rlone\n".encode()
    assert list(read_lines(put(tmp_path, "a.txt", content))) == ["gidan sarki", "\u00e9 x", "last", "lone"]
    assert list(read_lines(tmp_path / "a.txt", empty=True))[1] == ""


def test_joiners_stay_where_they_spell(tmp_path):
    persian, emoji = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\U0001f468\u200d\U0001f469"
    path = put(tmp_path, "a.txt", f"{persian}\n{emoji}\nga\u200dri\n")
    assert list(read_lines(path)) == [persian, emoji, "gari"]


def test_gzip_is_read_and_damage_is_named(tmp_path):
    whole = gzip.compress(b"daya\nbiyu\n" * 500, mtime=0)
    assert list(read_lines(put(tmp_path, "a.txt.gz", whole)))[:2] == ["daya", "biyu"]
    error = refused(lambda p: list(read_lines(p)), put(tmp_path, "b.txt.gz", whole[: len(whole) // 2]))
    assert error.file == tmp_path / "b.txt.gz" and "damaged gzip" in str(error)
    assert "gzip" in str(refused(lambda p: list(read_lines(p)), put(tmp_path, "c.txt.gz", "not gzip")))


def test_not_utf8_names_line_and_byte(tmp_path):
    path = put(tmp_path, "a.txt", b"gida\ngar\xe9 x\n")
    error = refused(lambda p: list(read_lines(p)), path)
    assert (error.file, error.line) == (path, 2)
    assert "0xe9 at byte 4 of the line, 9 of the file" in str(error) and "UTF-8" in error.expected
    utf16 = put(tmp_path, "b.txt", "gida\n".encode("utf-16"))
    assert "UTF-16" in refused(lambda p: list(read_lines(p)), utf16).found
    assert "binary" in str(refused(lambda p: list(read_lines(p)), put(tmp_path, "c.txt", b"PK\x00\x03")))
    assert "no such file" in str(refused(lambda p: list(read_lines(p)), tmp_path / "none.txt"))
    assert "a folder" in str(refused(lambda p: list(read_lines(p)), tmp_path))


def test_letters_keep_marks_and_drop_the_rest():
    assert letters("\u1eb8\u0301 k\u00fa, 12!") == "\u1eb9\u0301k\u00fa12"  # the tone mark on e-with-dot stays
    assert words("M'dziko, la-zinthu 3") == ["m", "dziko", "la", "zinthu", "3"]
    assert "".join(words("M'dziko, la-zinthu 3")) == letters("M'dziko, la-zinthu 3")


# --- tagged


@pytest.mark.parametrize("text", [POS, POS.replace(" ", "\t"), POS.replace("\n", "\r\n"), "\ufeff" + POS, POS + "\n\n"])
def test_two_columns(tmp_path, text):
    first, second = read_tagged(put(tmp_path, "a.txt", text))
    assert (first.tokens, first.tags, first.line) == (["Kumudzi", "kwathu", "ndi"], ["NOUN", "ADV", "VERB"], 1)
    assert (second.text, second.line) == ("Koma anati .", 5)


def test_conllu_leaves_out_ranges_and_empty_nodes(tmp_path):
    rest = "\t_\t_\t_\t_\t_\t_"
    rows = [f"1-2\tkuyo\t_\t_{rest}", f"1\tku\t_\tADP{rest}", f"2\tiyo\t_\tPRON{rest}", f"2.1\tx\t_\tX{rest}"]
    path = put(tmp_path, "a.conllu", "# sent_id = 1\n" + "\n".join(rows) + "\n")
    assert [(s.tokens, s.tags) for s in read_tagged(path)] == [(["ku", "iyo"], ["ADP", "PRON"])]
    error = refused(read_tagged, put(tmp_path, "b.conllu", "1\tku\tADP\n"))
    assert error.line == 1 and "10" in error.expected


def test_bio_is_mended_and_counted(tmp_path):
    path = put(tmp_path, "a.txt", "Ali I-PER\nMusa I-PER\na O\nKano I-LOC\nCity I-ORG\n")
    (sentence,) = read_tagged(path, kind="ner")
    assert sentence.tags == ["B-PER", "I-PER", "O", "B-LOC", "B-ORG"] and sentence.repaired == 3


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("", None, None),
        ("\n\n", None, None),
        ("ndi VERB\nkwathu\n", 2, "kwathu"),
        ("ndi VERB extra\n", 1, "extra"),
        ("VERB ndi\nNOUN gida\nADP na\n", 1, "VERB"),
        ("B-PER Ali\nO a\nB-LOC Kano\n", 1, "B-PER"),
        ("ndi VERB\ngida NOUNN\n" + "a ADP\n" * 98, 2, "NOUNN"),
    ],
)
def test_bad_tagged_files_are_refused(tmp_path, text, line, found):
    path = put(tmp_path, "a.txt", text)
    error = refused(read_tagged, path)
    assert error.file == path and error.line == line and error.expected
    assert found is None or found in error.found


def test_labels_in_the_wrong_column_with_an_unknown_tag_set(tmp_path):
    text = "".join(f"T{i % 3} kalma{i}\n" + "\n" * (i % 9 == 8) for i in range(300))
    assert "first column" in str(refused(read_tagged, put(tmp_path, "a.txt", text)))
    own = "".join(f"kalma{i} T{i % 3}\n" for i in range(300))
    assert len(read_tagged(put(tmp_path, "b.txt", own))) == 1


def test_unknown_label_is_named_with_its_neighbour(tmp_path):
    path = put(tmp_path, "a.txt", "Ali B-PER\na O\nKano B-LOCC\n")
    error = refused(read_tagged, path, kind="ner", labels={"O", "B-PER", "B-LOC"})
    assert error.line == 3 and "did you mean 'B-LOC'" in error.found
    inside = put(tmp_path, "c.txt", "Ali B-PER\nMusa I-PER\n")
    assert read_tagged(inside, labels={"O", "B-PER"})[0].tags == ["B-PER", "I-PER"]  # I- of a known type
    malformed = refused(read_tagged, put(tmp_path, "b.txt", "Ali PER\na O\n"), kind="ner")
    assert malformed.line == 1 and "BIO" in str(malformed)
    rare = put(tmp_path, "d.txt", "kai INTJ\n")
    assert read_tagged(rare, labels={"NOUN", "VERB"})[0].tags == ["INTJ"]  # UPOS, only not in the training file


# --- classified

TSV = "tweet\tlabel\nya \"ce haka\tpositive\n@user a'a\tnegative\n"


@pytest.mark.parametrize("text", [TSV, TSV.split("\n", 1)[1], TSV.replace("\n", "\r\n"), "\ufeff" + TSV])
def test_tsv_with_and_without_header(tmp_path, text):
    items = read_classified(put(tmp_path, "a.tsv", text))
    assert [(i.text, i.label) for i in items] == [('ya "ce haka', "positive"), ("@user a'a", "negative")]


def test_header_decides_the_order_and_csv_is_quoted(tmp_path):
    swapped = put(tmp_path, "a.tsv", "label\ttext\npos\tyana da kyau\nneg\tba kyau\n")
    assert [i.label for i in read_classified(swapped)] == ["pos", "neg"]
    items = read_classified(put(tmp_path, "b.csv", '0,"ma, ""no"""\n1,iva\n'))
    assert [(i.text, i.label, i.line) for i in items] == [('ma, "no"', "0", 1), ("iva", "1", 2)]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.tsv", "", None),
        ("a.tsv", "tweet\tlabel\n", None),
        ("a.tsv", "ya yi\tpositive\nba tab\n", 2),
        ("a.tsv", "ya yi\tpositive\n\tnegative\n", 2),
        ("a.tsv", "positive\tya yi\nnegative\tba ta yi\npositive\tsun zo\nnegative\tsun tafi\n", 1),
        ("a.csv", "ya yi,1\nba ta yi,0\nsun zo,1\nsun tafi,0\n", 1),
        ("a.tsv", "ya yi\tpositive\nsun zo\tpositive\n", None),
    ],
)
def test_bad_classified_files_are_refused(tmp_path, name, text, line):
    path = put(tmp_path, name, text)
    error = refused(read_classified, path)
    assert error.file == path and error.line == line


def test_unknown_class(tmp_path):
    path = put(tmp_path, "a.tsv", "ya yi\tpositive\nba kyau\tnegativ\n")
    error = refused(read_classified, path, labels={"positive", "negative"})
    assert error.line == 2 and "did you mean 'negative'" in error.found


def test_leakage_is_counted_by_letters(tmp_path):
    train = read_tagged(put(tmp_path, "a.txt", "Gida NOUN\n! PUNCT\n\nna ADP\n"))
    test = read_tagged(put(tmp_path, "b.txt", "gida NOUN\n\nta VERB\n\nTa VERB\n. PUNCT\n"))
    assert leakage(train, test) == {"test": 3, "leaked": 1, "repeated": 1}


def test_read_sentences_takes_any_form(tmp_path):
    assert read_sentences(put(tmp_path, "a.txt", POS)) == ["Kumudzi kwathu ndi", "Koma anati ."]
    assert read_sentences(put(tmp_path, "b.tsv", TSV))[1] == "@user a'a"
    assert read_sentences(put(tmp_path, "c.txt", "sun zo gida jiya\nsun tafi\n")) == ["sun zo gida jiya", "sun tafi"]


# --- bitext and dictionaries


def test_parallel(tmp_path):
    a, b = put(tmp_path, "a.txt", "one\n\nthree\n"), put(tmp_path, "b.txt", "daya\nbiyu\nuku\n")
    assert read_parallel(a, b) == [("one", "daya"), ("three", "uku")]
    error = refused(read_parallel, a, put(tmp_path, "c.txt", "daya\nbiyu\n"))
    assert (error.line, error.found, error.expected) == (3, 2, 3)
    assert "both" in str(refused(read_parallel, put(tmp_path, "d.txt", "\n\n"), put(tmp_path, "e.txt", "x\ny\n")))


def test_dictionary(tmp_path):
    path = put(tmp_path, "a.tsv", "# from a test\nhouse\tgida\nhouse\tgida\ngo\ttafi\t0.5\n")
    assert read_dictionary(path) == [("house", "gida", 1.0), ("go", "tafi", 0.5)]
    for text, line in (("house gida\n", 1), ("a\tb\nc\t\n", 2), ("a\tb\thigh\n", 1), ("", None)):
        assert refused(read_dictionary, put(tmp_path, "b.tsv", text)).line == line
