"""Language cards are valid and found by any of their names."""

import pytest

from corpora.card import FOLDER, known_languages, load_card
from lexigraft import InputError


@pytest.mark.parametrize("code", known_languages())
def test_card(code):
    card = load_card(code)
    assert card.code == code == load_card(card.bcp47).code == load_card(card.name.upper()).code
    assert {"text", "pos", "ner", "sentiment", "parallel"} <= {resource.kind for resource in card.resources}
    assert all(resource.repository or resource.package for resource in card.resources)
    assert set(card.related) <= set(known_languages()) - {code}


def test_unknown_language_names_the_known_ones():
    with pytest.raises(InputError, match="hau \\(Hausa\\)"):
        load_card("xxx")
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {"hau", "yor", "kin", "swa", "nya"}
