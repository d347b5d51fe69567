"""The pages drawn without a browser: what they show, what they refuse, and what they make of a form."""

from __future__ import annotations

import json

import pytest
import yaml

from vocab.compare import measure
from vocab.compare.pictures import pictures

from .conftest import NASTY, write_run


def drawn(test) -> str:
    """All HTML of the page, without the style sheet."""
    return "\n".join(element.value for element in test.html if not element.value.startswith("<style"))


def sound(test) -> bool:
    return not test.exception


def test_list_of_runs(app, runs):
    write_run(runs / "nya-a")
    write_run(runs / "hau-b", "failed", message="no text")
    test = app("views/runs.py")
    assert sound(test)
    assert "nya-a" in drawn(test) and "lx-is-failed" in drawn(test)
    assert [link.proto.query_string for link in test.get("page_link")] == ["run=hau-b", "run=nya-a"]


def test_no_runs_yet(app):
    test = app("views/runs.py")
    assert "no run yet" in test.info[0].value and "lexigraft run" in test.info[0].value
    assert [link.proto.label for link in test.get("page_link")] == ["Set up a run"]


def test_finished_run(app, runs):
    write_run(runs / "nya-a")
    test = app("views/runs.py", run="nya-a")
    assert sound(test) and not test.error
    page = drawn(test)
    assert "<b>80.0</b>" in page and "lx-is-best" in page and "[69.5, 73.0]" in page and "≈ best" in page
    assert "POS: adapted is ahead" in page
    assert [tab.label for tab in test.tabs] == [
        "Results",
        "Try it",
        "Transplant",
        "Curves",
        "Pictures",
        "Model card",
        "Files and settings",
    ]
    assert "Model card of a test" in "".join(m.value for m in test.markdown)
    assert "nothing was transplanted" in "".join(i.value for i in test.info)
    assert {b.label for b in test.download_button} == {"Report (HTML)", "Scores (CSV)", "Model card", "Settings (YAML)"}


def test_nothing_of_a_run_becomes_html(app, runs):
    write_run(runs / "nya-a")
    write_run(runs / "nya-b", "stopped", message=NASTY)
    for name in ("nya-a", "nya-b"):
        test = app("views/runs.py", run=name)
        assert "<img" not in drawn(test)
        assert "&lt;img" in drawn(test)
        assert not any(m.allow_html for m in test.markdown)


@pytest.mark.parametrize("status", ["failed", "stopped", "running"])
def test_run_that_was_cut_short_can_be_resumed(app, runs, status):
    write_run(runs / "nya-a", status, message="the reason")
    test = app("views/runs.py", run="nya-a")
    assert sound(test)
    assert [b.label for b in test.button] == ["Resume"]
    said = "".join(m.value for m in [*test.error, *test.warning])
    assert ("gone without a word" if status == "running" else "the reason") in said


def test_a_run_that_was_cut_short_shows_what_it_learnt_so_far(app, runs):
    write_run(runs / "nya-a", "stopped", message="the reason")
    assert len(app("views/runs.py", run="nya-a").get("vega_lite_chart")) == 1


@pytest.mark.parametrize("source", [False, True])
def test_bits_are_said_to_be_of_the_source_only_where_they_are(app, runs, source):
    log = write_run(runs / "nya-a") / "pretrain" / "adapted" / "log.jsonl"
    bits = {"heldout_pseudo_bits_per_character": 2.0} | ({"source_pseudo_bits_per_character": 3.0} if source else {})
    log.write_text(json.dumps({"step": 1, "loss": 4.0, **bits}) + "\n")
    said = "".join(caption.value for caption in app("views/runs.py", run="nya-a").caption)
    assert "lower is better" in said and ("Dashed" in said) == source


@pytest.mark.parametrize("name", ["../../etc", "nothing"])
def test_unknown_run_is_a_message(app, runs, name):
    test = app("views/runs.py", run=name)
    assert sound(test) and "no run of this name" in test.error[0].value


def test_damaged_table_is_a_message(app, runs):
    folder = write_run(runs / "nya-a")
    (folder / "report" / "table.json").write_text('{"rows": [3], "columns": ["lm"]}')
    test = app("views/runs.py", run="nya-a")
    assert sound(test)
    assert "went wrong" in test.error[0].value


def test_form_says_beside_the_field_what_is_wrong(app, tmp_path):
    test = app("views/new_run.py")
    assert sound(test)
    assert "lx-wrong" not in drawn(test), "nothing is asked for before it was tried"
    assert test.selectbox(key="run:transplant.method").placeholder == "the default chain", "not: not set"
    test.text_input(key="run:language").set_value("two words").run()
    assert "not in the form asked for: ISO 639-3" in drawn(test)
    test.text_area(key="run:corpus.text").set_value(str(tmp_path / "missing.txt")).run()
    assert "no such file" in drawn(test)
    test.text_input(key="run:evaluate.seeds").set_value("0, 1, x").run()
    assert "whole numbers with commas between" in drawn(test)
    test.button(key="go").click().run()
    listed = "".join(e.value for e in test.error)
    assert sound(test) and "Source · Model: this is needed" in listed.replace("\\", "")


def test_form_gives_the_yaml_of_what_was_chosen(app, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("moja\n")
    test = app("views/new_run.py")
    test.text_input(key="run:language").set_value("swa")
    test.text_input(key="run:source.model").set_value("some/model")
    test.text_area(key="run:corpus.text").set_value(f"{text}\n{text}\n")
    test.number_input(key="run:pretrain.steps").set_value(20)
    test.number_input(key="run:pretrain.minutes").set_value(None)
    test.multiselect(key="run:arms").set_value(["source", "adapted"])
    test.toggle(key="run:evaluate.tasks.pos").set_value(True)
    test.run()
    test.text_input(key="run:evaluate.tasks.pos.train").set_value(str(text)).run()
    assert sound(test)
    shown = next(code.value for code in test.code if "language:" in code.value)
    assert yaml.safe_load(shown) == {
        "language": "swa",
        "arms": ["source", "adapted"],
        "source": {"model": "some/model"},
        "corpus": {"text": [str(text), str(text)]},
        "pretrain": {"minutes": None, "steps": 20},
        "evaluate": {"tasks": {"pos": {"train": str(text)}}},
    }
    assert "this is needed" not in drawn(test), "not before the button was pressed"
    test.button(key="go").click().run()
    assert "POS · Test: this is needed" in test.error[0].value.replace("\\", "")


def test_rows_are_added_filled_and_taken_away(app, runs, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("moja\n")

    def settings(test):
        return yaml.safe_load(next(code.value for code in test.code if "language:" in code.value))

    test = app("views/new_run.py")
    test.text_input(key="run:language").set_value("nya").run()
    lengths, others = "run:pretrain.sequence_length_warmup", "run:corpus.others"
    for key in (lengths, lengths, others):
        test.button(key=f"{key}:add").click().run()
    for row, (share, length) in enumerate([(0.25, 32), (0.5, 64)]):
        test.number_input(key=f"{lengths}:{row}:until share of steps").set_value(share)
        test.number_input(key=f"{lengths}:{row}:tokens").set_value(length)
    test.text_input(key=f"{others}:0:name").set_value("swa")
    test.text_area(key=f"{others}:0:files").set_value(str(text)).run()
    assert sound(test)
    assert settings(test)["pretrain"] == {"sequence_length_warmup": [[0.25, 32], [0.5, 64]]}
    assert settings(test)["corpus"] == {"others": {"swa": [str(text)]}}
    test.button(key=f"{lengths}:0:remove").click().run()
    test.number_input(key=f"{lengths}:1:tokens").set_value(640).run()
    assert settings(test)["pretrain"] == {"sequence_length_warmup": [[0.5, 640]]}
    assert "needs rising shares below 1" in drawn(test)
    folder = write_run(runs / "nya-a")
    (folder / "run.yaml").write_text(yaml.safe_dump({"language": "nya", **settings(test)}))
    test = app("views/new_run.py")
    test.selectbox(key="start_from").set_value("nya-a").run()
    assert sound(test) and settings(test)["pretrain"] == {"sequence_length_warmup": [[0.5, 640]]}
    assert settings(test)["corpus"] == {"others": {"swa": [str(text)]}}


def test_form_starts_from_an_earlier_run(app, runs):
    write_run(runs / "nya-a")
    test = app("views/new_run.py")
    test.selectbox(key="start_from").set_value("nya-a").run()
    assert sound(test)
    assert test.text_input(key="run:language").value == "nya"
    assert test.text_area(key="run:corpus.text").value == "/data/text.txt"


def test_form_starts_from_a_file(app):
    test = app("views/new_run.py")
    test.selectbox(key="start_from").set_value("A settings file (YAML)").run()

    def take(text: str):
        test.file_uploader(key="settings_file").set_value(("a.yaml", text.encode(), "text/yaml")).run()
        assert sound(test)
        return "".join(error.value for error in test.error).replace("\\", "")

    assert take("language: swa\npretrain: {steps: 20}\n") == ""
    assert test.text_input(key="run:language").value == "swa"
    assert test.number_input(key="run:pretrain.steps").value == 20
    wrong = take("language: swa\npretrain: {stepz: 20}\n")
    assert "unknown key 'stepz'" in wrong and "Value error" not in wrong
    assert "pretrain.steps" in take("language: swa\npretrain: {steps: many}\n")
    assert "no settings" in take("- swa\n") and "no YAML" in take("language: [\n")
    assert test.text_input(key="run:language").value == "swa", "what was in the form stays"


def test_form_keeps_what_was_typed_when_another_page_is_looked_at(app):
    test = app("views/new_run.py")
    test.text_input(key="run:language").set_value("swa").run()
    test.switch_page("views/runs.py").run()
    test.switch_page("views/new_run.py").run()
    assert test.text_input(key="run:language").value == "swa"


def test_compare_draws_what_the_tokenizer_does(app, tiny_source):
    from vocab.view import Vocabulary

    test = app("views/compare.py", tokenizers=str(tiny_source), text=f"walking {NASTY}")
    assert sound(test) and not test.error
    page = drawn(test)
    view = Vocabulary.of(tiny_source)
    number = len(view.pieces_of("walking", True))
    assert f'<span class="lx-n{" lx-many" if number > 2 else ""}">{number}</span>' in page
    assert "<img" not in page
    assert "lx-unk" in page, "the angle bracket is not in this vocabulary"


def test_compare_word_by_word(app, tiny_source, runs):
    import shutil

    other = write_run(runs / "nya-a") / "tokenizer"
    shutil.copytree(tiny_source, other)
    test = app(
        "views/compare.py", tokenizers=[str(tiny_source), "run: nya-a"], text="walking houses", view="Word by word"
    )
    assert sound(test) and not test.error
    page = drawn(test)
    assert "lx-words" in page and "run: nya-a" in page
    assert "lx-is-best" not in page, "both cut alike: none is better"


def test_a_word_that_is_lost_in_one_piece_is_not_called_the_best_cut():
    from types import SimpleNamespace

    from app.parts.pieces import Cut, table_html

    view = SimpleNamespace(roles={"unk": 0})
    lost = Cut("lost", view, [[("[UNK]", 0, None)], [("▁b", 2, None)], []], "aa bb cc")
    fine = Cut("fine", view, [[("▁a", 1, None)] * 3, [("▁b", 2, None)] * 2, [("▁c", 3, None)]], "aa bb cc")
    long = Cut("long", view, [[("▁a", 1, None)] * 4, [("▁b", 2, None)] * 2, [("▁c", 3, None)]], "aa bb cc")
    rows = table_html([lost, fine, long]).split("<tr>")[2:]
    best = [["lx-is-best" in cell for cell in row.split("</td>")[:3]] for row in rows]
    assert best == [[False, True, False], [True, False, False], [False, False, False]]


def test_compare_shows_the_ids_of_what_is_typed(app, tiny_source):
    from vocab.compare.pieces import pieces
    from vocab.view import Vocabulary

    test = app("views/compare.py", tokenizers=str(tiny_source), text=f"walking {NASTY}", view="Token ids")
    assert sound(test) and not test.error and "<img" not in drawn(test)
    words = pieces(Vocabulary.of(tiny_source), f"walking {NASTY}")
    assert f"[{', '.join(str(index) for word in words for _, index, _ in word)}]" in drawn(test)


@pytest.mark.parametrize("name", ["/no/such/folder", "//host/share", "https://example.org/x", "not a name"])
def test_compare_says_what_cannot_be_loaded(app, name):
    test = app("views/compare.py", tokenizers=name)
    assert sound(test) and len(test.error) == 1


def test_compare_on_a_whole_text(app, tiny_source, runs, tmp_path):
    """Metrics, changes and the clinic of a file; nothing of the file becomes HTML."""
    import shutil

    shutil.copytree(tiny_source, write_run(runs / "nya-a") / "tokenizer")
    file = tmp_path / "text.txt"
    file.write_text(f"walking houses {NASTY}\nwalked to the water\n" * 5)
    test = app("views/compare.py", tokenizers=[str(tiny_source), "run: nya-a"], text="walking", file=str(file))
    assert sound(test) and not test.error
    assert [tab.label for tab in test.tabs] == ["Metrics", "Pictures", "Fixed and broken", "Speaker’s clinic"]
    assert "Rényi entropy" in "".join(m.value for m in test.markdown), "what a metric is can be read without a mouse"
    assert "fertility<small>tokens per word; lower is better</small>" in drawn(test)
    assert "▲" not in drawn(test) and "▼" not in drawn(test), "both cut alike"
    assert "0 words in fewer pieces" in "".join(m.value for m in test.markdown)
    assert "Marks (TSV)" in {b.label for b in test.download_button}
    assert "<img" not in drawn(test)
    assert {"Table (CSV)", "Table (Markdown)", "Table (LaTeX)", "Points (CSV)"} <= {
        b.label for b in test.download_button
    }
    charts = [json.loads(chart.proto.spec) for chart in test.get("vega_lite_chart")]
    axes = [[chart["layer"][0]["encoding"][axis].get("title") for axis in "xy"] for chart in charts]
    assert axes == [[p.x.title, p.y.title] for p in pictures(measure({"x": tiny_source}, file))], "no parity"
    given = {"tokenizers": str(tiny_source), "text": "walking", "file": str(file)}
    test = app("views/compare.py", **given, parallel=f"swa = {file}, {file}\nnya={file},{file}")
    assert sound(test) and not test.error
    assert len(test.get("vega_lite_chart")) == len(charts) + 1 and "parity" in drawn(test)
    test = app("views/compare.py", **given, parallel="swa")
    assert sound(test) and "names no parallel text" in test.error[0].value
    missing = app("views/compare.py", tokenizers=str(tiny_source), text="walking", file=str(tmp_path / "no.txt"))
    assert sound(missing) and "no such text file" in missing.error[0].value


def test_clinic_keeps_the_marks_of_a_tokenizer_that_is_not_looked_at(app, tiny_source, runs, monkeypatch):
    """Streamlit forgets what was typed into a table that is not drawn."""
    import shutil

    from app.parts import whole_text

    shutil.copytree(tiny_source, write_run(runs / "nya-a") / "tokenizer")
    file = runs / "nya-a" / "corpus" / "heldout.txt"
    file.parent.mkdir()
    file.write_text("walkingmama kudatalks\n" * 5)
    seen = []

    def editor(rows, **_):
        seen.append({row["word"]: row["mark"] for row in rows})
        return [{**row, "mark": "="} for row in rows] if len(seen) == 1 else rows

    monkeypatch.setattr(whole_text.st, "data_editor", editor)
    test = app("views/compare.py", tokenizers=[str(tiny_source), "run: nya-a"], text="walking", file=str(file))
    test.selectbox(key="patient").set_value("run: nya-a").run()
    test.selectbox(key="patient").set_value(str(tiny_source)).run()
    assert sound(test) and len(seen) == 3
    assert seen[0] and set(seen[0].values()) == {""} == set(seen[1].values())
    assert seen[2] == dict.fromkeys(seen[0], "=")
    assert f"Marked so far: {len(seen[0])}." in "".join(c.value for c in test.caption)


def test_compare_draws_what_is_there_while_another_is_loaded(app, tiny_source, tmp_path, monkeypatch):
    """A tokenizer that takes long holds nothing up, and is drawn once it is there."""
    import shutil
    from threading import Event

    from app.parts import tokenizers

    slow, gate, work = tmp_path / "slow", Event(), tokenizers._work
    shutil.copytree(tiny_source, slow)

    def wait(future, place):
        assert str(place) != str(slow) or gate.wait(60)
        work(future, place)

    monkeypatch.setattr(tokenizers, "_work", wait)
    monkeypatch.setattr(tokenizers.load, "__defaults__", (0.2,))
    tokenizers.Vocabulary.of(tiny_source)
    test = app("views/compare.py", tokenizers=[str(tiny_source), str(slow)], text="walking")
    assert sound(test) and tokenizers.is_loading(str(slow)) and "still being loaded" in test.info[-1].value
    gate.set()
    monkeypatch.setattr(tokenizers.load, "__defaults__", (60.0,))
    test.run()
    assert sound(test) and not test.info and f"<h4>{slow}</h4>" in drawn(test)


def test_compare_without_tokenizer_or_text(app, tiny_source):
    assert "Type some text" in app("views/compare.py", tokenizers=str(tiny_source), text=" ").info[0].value
