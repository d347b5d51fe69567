"""What is known of a language: its names and codes, and where its text and labels can be had."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lexigraft import InputError

FOLDER = Path(__file__).parent / "languages"
Kind = Literal["text", "pos", "ner", "sentiment", "parallel", "dictionary"]


class Resource(BaseModel):
    """One data set."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    kind: Kind
    """What it is used for."""
    name: str
    """Name of the data set."""
    repository: str | None = None
    """Public repository, `owner/name` on GitHub."""
    package: str | None = None
    """Python package it comes in."""
    path: str
    """Where the files are in the repository or package."""
    licence: str
    """Licence of the data, as its source states it."""
    note: str | None = None
    """What else one should know before using it."""


class LanguageCard(BaseModel):
    """A language."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    code: str = Field(pattern=r"^[a-z]{3}$")
    """ISO 639-3."""
    bcp47: str
    """BCP-47 tag."""
    name: str
    """English name."""
    own_name: str
    """What its speakers call it."""
    other_names: list[str] = Field(default_factory=list)
    """Further names in use."""
    family: str
    """Language family, from the large to the small group."""
    script: str
    """ISO 15924 code of the script of the data below."""
    spelling: str | None = None
    """What a tokenizer must not break: tone marks, special letters, apostrophes."""
    related: list[str] = Field(default_factory=list)
    """ISO 639-3 codes of related languages worth borrowing from."""
    resources: list[Resource] = Field(default_factory=list)
    """Data sets."""

    def find(self, kind: Kind) -> list[Resource]:
        """List the data sets of one kind."""
        return [resource for resource in self.resources if resource.kind == kind]


def known_languages() -> list[str]:
    """List the codes that have a card."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_card(code: str) -> LanguageCard:
    """Read the card of a language.

    Args:
        code: ISO 639-3 code, BCP-47 tag or English name, in any case.

    Raises:
        InputError: there is no card, or it is not valid; the file is named.
    """
    path = FOLDER / f"{code.lower()}.yaml"
    if path.name in {file.name for file in FOLDER.glob("*.yaml")}:
        return _read(path)
    cards = [_read(FOLDER / f"{known}.yaml") for known in known_languages()]
    for card in cards:
        if code.lower() in {name.lower() for name in (card.bcp47, card.name, card.own_name, *card.other_names)}:
            return card
    known = ", ".join(f"{card.code} ({card.name})" for card in cards)
    raise InputError(
        "no card for this language (a run does not need one)", found=repr(code), expected=f"one of {known}"
    )


def _read(path: Path) -> LanguageCard:
    try:
        card = LanguageCard.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"`{where}`: {problem['msg']}", file=path) from None
    except yaml.YAMLError as error:
        raise InputError(f"not YAML: {error}", file=path) from None
    if card.code != path.stem:
        raise InputError("the card's code is not its file name", file=path, found=card.code, expected=path.stem)
    return card
