"""What a run's new rows were made of: the tab of a run, and what it says of a row."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from app.parts.made_of import explanation_html
from vocab.mixture import FILE, Mixture

from .conftest import NASTY, write_run


@pytest.fixture
def mixture() -> Mixture:
    """Three old tokens, four new ones: mixed, mixed with less support, copied, and drawn from nothing."""
    from scipy.sparse import csr_matrix

    from vocab.mixture import Side

    weights = csr_matrix(np.array([[0.75, -0.25, 0], [0.5, 0.5, 0], [0, 0, 1], [0, 0, 0]], np.float32))
    made = Mixture.empty(Side("a", ("▁house", NASTY, "▁ya")), Side("b", ("▁gida", "je", "▁ya", "nka")))
    made.weights, made.names = weights, ("focus", "copy")
    made.method[:] = [0, 0, 1, 0]
    made.evidence[:] = [0.5, 0.25, np.nan, np.nan]
    return made


def test_a_row_is_told_with_its_parts_and_its_support(mixture):
    page = explanation_html(mixture, 0)
    assert "<h4>▁gida</h4>" in page and "mixed by focus from 2 old rows" in page
    assert page.index("▁house") < page.index("&lt;img"), "the largest first, whatever its sign"
    assert "width:33.3%" in page and "-0.250" in page and "<img" not in page
    assert "Confidence 0.50" in page and "Higher than that of 50 % of the rows" in page
    assert "Higher than that of 0 % of the rows" in explanation_html(mixture, 1)


def test_a_row_without_evidence_or_parts_claims_none(mixture):
    assert "Confidence" not in explanation_html(mixture, 2)
    assert "drawn by focus" in (page := explanation_html(mixture, 3)) and "<ol" not in page


def test_words_of_a_run_are_explained_piece_by_piece(app, runs, finished_run):
    run = write_run(runs / "nya-a")
    made = finished_run.folder / "transplant" / "model"
    shutil.copytree(made, run / "transplant" / "model", ignore=shutil.ignore_patterns("model.safetensors"))
    test = app("views/runs.py", run="nya-a")
    assert not test.exception and not test.error
    assert "### Vocabulary transplant" in "".join(m.value for m in test.markdown)
    word = (finished_run.folder / "corpus" / "heldout.txt").read_text(encoding="utf-8").split()[0]
    test.text_input(key="made-of:nya-a").set_value(f"{word} {word}").run()
    page = "".join(element.value for element in test.html)
    from vocab.compare.pieces import pieces

    ids = dict.fromkeys(index for _, index, _ in pieces(made, word)[0])
    mixture = Mixture.load(made / FILE)
    assert ids and all(explanation_html(mixture, index) in page for index in ids), "each piece once"
    assert page.count('<section class="lx-panel">') == len(ids)
