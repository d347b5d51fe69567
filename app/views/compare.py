"""Compare tokenizers side by side on text typed in: pieces in colour, counts under every word."""

from __future__ import annotations

from contextlib import suppress
from html import escape

import streamlit as st

from app.parts import whole_text
from app.parts.guard import messages, plain
from app.parts.pieces import Cut, facts_html, table_html
from app.parts.tokenizers import StillLoading, at_hand, is_loading, load
from lexigraft import InputError
from vocab.compare.pieces import pieces

_MOST = 20_000  # characters that are cut and drawn
SAMPLES = {
    "Chichewa": "Anthu onse amabadwa aufulu ndiponso ofanana mu ulemu ndi ufulu wawo.",
    "Hausa": "Su dai ƴan-adam, ana haifuwarsu ne duka ƴantattu, kuma kowannensu na da mutunci da hakkoki.",
    "Swahili": "Watu wote wamezaliwa huru, hadhi na haki zao ni sawa.",
    "Yoruba": "Gbogbo ènìyàn ni a bí ní òmìnira; iyì àti ẹ̀tọ́ kọ̀ọ̀kan sì dọ́gba.",
    "Amharic": "የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።",
    "English": "All human beings are born free and equal in dignity and rights.",
}


def page() -> None:
    """Draw the page."""
    st.title("Compare tokenizers", anchor=False)
    st.html(
        '<p class="lx-lead">Type a sentence and see how each tokenizer cuts it. The number under a word says how many '
        "pieces it became: fewer pieces mean more text in the model’s window, and less to guess.</p>"
    )
    known = list(at_hand())
    chosen = st.multiselect(
        "Tokenizers",
        known,
        default=known[:3],
        key="tokenizers",
        accept_new_options=True,
        placeholder="choose, or type a folder or a hub id and press Enter",
        help="Those of your runs are listed. Any other: a folder on this machine, or the name of a model on the hub.",
        bind="query-params",
    )
    st.pills(
        "Try the first sentence of the Universal Declaration of Human Rights",
        list(SAMPLES),
        key="sample",
        on_change=_take_sample,
    )
    text = st.text_area("Text", SAMPLES["Chichewa"], height=110, key="text", bind="query-params", max_chars=_MOST)
    if not chosen:
        st.info("Choose a tokenizer.")
        return
    if not text.strip():
        st.info("Type some text.")
        return
    cuts, late = [], []
    for name in chosen:  # all begin to load before the first is waited for
        with suppress(InputError):
            load(name, patience=0)
    for name in chosen:
        try:
            with st.spinner(f"Loading {name} …", show_time=True):
                view = load(name)
            cuts.append(Cut(name, view, pieces(view, text), text))
        except StillLoading as error:
            late.append(name)
            st.info(plain(f"{name}: {error}"), icon=":material/hourglass_top:")
        except InputError as error:
            st.error(plain(f"{name}: {error}"), icon=":material/error:")
    if late:
        st.fragment(_await, run_every=2.0)(late)
    if cuts:
        _draw(cuts)
        whole_text.draw([cut.name for cut in cuts])


def _await(names: list[str]) -> None:
    """Draw the page anew once one of the tokenizers is there, or cannot be had."""
    if not all(map(is_loading, names)):
        st.rerun()


def _take_sample() -> None:
    if st.session_state.get("sample"):
        st.session_state["text"] = SAMPLES[st.session_state["sample"]]


def _draw(cuts: list[Cut]) -> None:
    view = st.segmented_control(
        "View",
        ["Side by side", "Word by word", "Token ids"],
        default="Side by side",
        required=True,
        key="view",
        bind="query-params",
        label_visibility="collapsed",
    )
    if view == "Word by word":
        st.html(table_html(cuts))
    else:
        bodies = [cut.ids_html() if view == "Token ids" else cut.text_html() for cut in cuts]
        panels = zip(map(facts_html, cuts), bodies, strict=True)
        blocks = "".join(f'<section class="lx-panel">{facts}{body}</section>' for facts, body in panels)
        st.html(f'<div class="lx-side">{blocks}</div>')
    legend = "Colours only tell neighbours apart."
    if any(cut.unknown for cut in cuts):
        legend += ' <span class="lx-p lx-unk">?</span> is text the tokenizer cannot write: it is lost.'
    if view == "Token ids":
        legend += " Without the special tokens that stand around a whole text."
    whole = [cut for cut in cuts if not any(map(cut.loses, range(len(cut.words))))]
    best = min(whole, key=lambda cut: cut.per_word, default=None)
    if best is not None and any(cut.per_word > best.per_word for cut in whole):
        legend = f"Fewest tokens per word on this text: <b>{escape(best.name)}</b>. {legend}"
    st.html(f'<p class="lx-legend">{legend}</p>')


with messages():
    page()
