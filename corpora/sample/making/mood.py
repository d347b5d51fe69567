"""Labels verses positive or negative by a lexicon over their English; unclear verses get no label.

C. J. Hutto, E. Gilbert, VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text, 2014.
"""

from __future__ import annotations

import importlib

from lexigraft import InputError

CLEAR = 0.4


def label_moods(english: dict[int, str]) -> dict[int, tuple[str, float]]:
    """Give (label, strength) of the verses whose compound score is beyond ±0.4.

    Raises:
        InputError: the lexicon is not installed.
    """
    try:
        analyser = importlib.import_module("vaderSentiment.vaderSentiment").SentimentIntensityAnalyzer()
    except ImportError:
        raise InputError(
            "the English sentiment lexicon is not installed", expected="pip install 'lexigraft[build-sample]'"
        ) from None
    moods = {}
    for verse, text in english.items():
        score = float(analyser.polarity_scores(text)["compound"])
        if abs(score) >= CLEAR:
            moods[verse] = ("positive" if score > 0 else "negative", abs(score))
    return moods
