"""What a transplant says of itself: explanations, report pages, scores before training, forecasts as a reason."""

from __future__ import annotations

import html.parser
import json
import math

import numpy as np
import pytest
import torch

import vocab
from lexigraft import InputError
from tests.tiny_tokenizers import metaspace
from vocab.score import side_by_side, word_bits
from vocab.tokenizer.load import load_tokenizer
from vocab.transplant.explain import explain
from vocab.transplant.load import load_model
from vocab.windows import Word, in_context, sample_lines, sample_words, windows_of

LINES = ["mata kuda wato tree", "walks talked the house of mata", "kuda watoing house mata", "tree wato kuda"] * 5
TARGET = metaspace(
    ["▁mata", "▁kuda", "▁wato", "▁tree", "▁house", "▁walk", "s", "ing", "▁", "▁zzz", *"abcdefhiklmnortuw"]
)


@pytest.fixture(scope="module")
def graft(tiny_source):
    return vocab.transplant(tiny_source, TARGET, texts=LINES)


def test_explanations_in_words_and_numbers(graft):
    told = graft.explain("▁mata", 3)
    assert (told.id, told.method, told.token, len(told)) == (5, "focus", "▁mata", 3) and told.parts > 3
    assert told.seen == 15 and told.evidence == pytest.approx(graft.mixture.evidence[5])
    weights = graft.mixture.weights[5].data
    share = 100 * np.sort(np.abs(weights))[-3:].sum() / np.abs(weights).sum()
    text = str(told)
    assert f"mixed by focus from {len(weights)} old rows; the 3 largest carry {share:.0f} % of the weight" in text
    assert f"evidence {told.evidence:.3f}: " in text and "the text shows it 15 times" in text
    assert str(graft.explain("▁tree")).startswith("▁tree (id 8): copy: the row of ▁tree\n")
    assert "copied from the one that plays its role, [MASK]" in str(graft.explain("<mask>"))
    assert "the text never shows it" in str(graft.explain("▁zzz"))
    assert "seen" not in str(explain(graft.mixture, "▁mata")) and explain(graft.mixture, 5) == graft.explain(5)
    with pytest.raises(InputError, match="did you mean '▁mata'"):
        graft.explain("▁matas")


def test_rows_that_only_one_of_a_blend_made_are_weaker(tiny_source):
    """Without a vector a token has its old pieces alone; the word mark has none: less evidence, whatever the number."""
    vectors = np.random.default_rng(0).standard_normal((len(TARGET), 5))
    vectors[TARGET.convert_tokens_to_ids("▁zzz")] = 0
    graft = vocab.transplant(
        tiny_source, TARGET, method="0.7 focus + 0.3 subwords", texts=LINES, vectors=vectors, score=False
    )
    weakest = [(row["token"], row["method"]) for row in graft.report["worst"]]
    assert weakest == [("▁zzz", "subwords"), ("▁", "focus"), ("▁mata", "0.7 focus + 0.3 subwords")]
    assert "0.7 focus + 0.3 subwords: Dobler & de Melo 2023, section 3; Gee et al. 2022" in graft.markdown


def test_drawn_and_computed_rows_are_called_so(tiny_source):
    mean = vocab.transplant(tiny_source, TARGET, method="mean")
    assert str(mean.explain("▁mata")).startswith("▁mata (id 5): mean: mean of all rows\nevidence 0.000")
    drawn = vocab.transplant(tiny_source, TARGET, method="random")
    assert "drawn by random, from no old row in particular" in str(drawn.explain("▁mata"))
    vectors = np.random.default_rng(0).standard_normal((len(TARGET), 5))
    predicted = vocab.transplant(tiny_source, TARGET, method="kriging", vectors=vectors)
    assert "computed by kriging; its largest weights are" in str(predicted.explain("▁mata"))
    found = predicted.report["evidence_by_method"]["kriging"]
    mine = predicted.mixture.evidence[predicted.mixture.method == predicted.mixture.names.index("kriging")]
    mine = mine[~predicted.mixture.copied[predicted.mixture.method == predicted.mixture.names.index("kriging")]]
    assert found["median"] == pytest.approx(np.median(mine), abs=1e-4) and "variance" in found["meaning"]


class Page(html.parser.HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.attributes = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def test_the_page_needs_nothing_and_escapes_everything(tiny_source, tmp_path):
    odd = metaspace(["▁<script>alert(1)</script>", "▁a|b`c", "▁kuda", "a"])
    graft = vocab.transplant(tiny_source, odd, texts=LINES)
    graft.save(tmp_path)
    text = (tmp_path / "transplant.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags and not {"src", "href"} & {name for name, _ in page.attributes}
    assert "▁<script>alert(1)</script>" in page.text and "▁a|b'c" in page.text
    table = [line for line in (tmp_path / "transplant.md").read_text(encoding="utf-8").splitlines() if "a\\|b" in line]
    assert table and all(line.replace("\\|", "").count("|") == 6 for line in table)
    assert page.tags.count("h1") == 1 and "Rows with least evidence" in page.text


def test_shared_tokens_are_counted_where_a_method_copies_none(graft, tiny_source):
    drawn = vocab.transplant(tiny_source, TARGET, method="random", texts=LINES, score=False).report
    assert drawn["overlap"] == graft.report["overlap"] and drawn["overlap"]["tokens"] > 0
    assert drawn["rows"]["copied"] == drawn["rows"]["by_method"]["special"]


def test_markdown_and_page_hold_the_same_figures(graft):
    page = Page(graft.html).text
    for line in graft.markdown.splitlines():
        for cell in line.strip("|").split("|"):
            cell = cell.strip(" `#-").replace("\\", "")
            if cell.strip(":"):
                assert cell.replace("`", "") in page.replace("\n", " ") or "`" in cell


def test_scores_before_training_are_those_of_the_models(graft, tiny_source):
    found = graft.report["before_training"]
    lines = sample_lines(LINES, 150, 0)
    words = sample_words(lines, 150, 0)
    scores = [
        word_bits(model, tokenizer, lines, words, context_tokens=64)
        for model, tokenizer in ((load_model(tiny_source), load_tokenizer(tiny_source)), (graft.model, TARGET))
    ]
    use = [all(s.status[i] == "ok" for s in scores) for i in range(len(words))]
    letters = sum(len(w.text) for w, u in zip(words, use, strict=True) if u)
    for name, score in zip(("source", "focus -> subwords -> mean"), scores, strict=True):
        assert found["models"][name]["value"] == pytest.approx(score.bits[use].sum() / letters)
        assert found["models"][name]["low"] < found["models"][name]["value"] < found["models"][name]["high"]
    gap = found["models"]["copy + random"]["against"]
    floor = found["models"]["copy + random"]["value"]
    assert gap[0] == pytest.approx(floor - found["models"]["focus -> subwords -> mean"]["value"])
    assert gap[1] < gap[0] < gap[2] and "against" not in found["models"]["focus -> subwords -> mean"]
    assert (found["kind"], found["drawn"], found["words"]) == ("pseudo-bits", len(words), sum(use))
    assert "Before any training" in graft.markdown and "copy + random" in graft.html


def naive_bits(model, tokenizer, text, word):
    """Bits of one word the long way: each piece by itself, the whole model, nothing shared and nothing batched."""
    left, right = [], []
    for side, others in ((left, text[: word.start].split()[::-1]), (right, text[word.end :].split())):
        for other in others:
            if len(" ".join([*side, other])) + 1 > 50:
                break
            side.append(other)
    first = " ".join([*left[::-1], ""]).lstrip()
    cut = " ".join([first + word.text, *right])
    encoding = tokenizer(cut, return_offsets_mapping=True, add_special_tokens=False)
    roles = [(tokenizer.cls_token_id, tokenizer.bos_token_id), (tokenizer.sep_token_id, tokenizer.eos_token_id)]
    ends = [one if one is not None else other for one, other in roles]
    begin, end = max(len(first) - 1, 0), len(first) + len(word.text)  # with the space before it
    inside = [k for k, (a, b) in enumerate(encoding["offset_mapping"]) if max(a, begin) < min(b, end)]
    total = 0.0
    for k in inside:
        pieces = list(encoding["input_ids"])
        pieces[k : inside[-1] + 1] = [tokenizer.mask_token_id] * (inside[-1] + 1 - k)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[ends[0], *pieces, ends[1]]])).logits[0, k + 1]
        total -= float(torch.log_softmax(logits, -1)[encoding["input_ids"][k]]) / math.log(2)
    return total


def test_scores_side_by_side_are_those_of_each_word_alone(graft, tiny_source, tmp_path):
    text = " ".join(LINES[:5] + LINES[1:4])
    words = sample_words([text], 25, 0)
    systems = [("source", load_model(tiny_source), load_tokenizer(tiny_source)),
               ("graft", load_model(graft.save(tmp_path)), TARGET)]  # fmt: skip
    alone = in_context([text], words)
    found = side_by_side([(name, model, windows_of(model, cuts, *alone)) for name, model, cuts in systems], alone[1])
    assert found["excluded"] == 0
    for name, model, tokenizer in systems:
        by_hand = sum(naive_bits(model, tokenizer, text, word) for word in words) / sum(len(w.text) for w in words)
        assert found["models"][name]["value"] == pytest.approx(by_hand, rel=1e-5)


def test_rows_are_swapped_over_one_body(graft, tiny_source):
    from vocab.transplant.apply import with_rows
    from vocab.view import Vocabulary

    model = load_model(tiny_source)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    made = with_rows(model, graft.mixture, Vocabulary.of(load_tokenizer(tiny_source)), Vocabulary.of(TARGET))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.config.vocab_size != made.config.vocab_size == len(TARGET)
    shared = {name for name, tensor in made.named_parameters() if tensor is dict(model.named_parameters())[name]}
    assert {name for name, _ in made.named_parameters()} - shared == {
        "bert.embeddings.word_embeddings.weight", "cls.predictions.bias",
    }  # fmt: skip
    for name, tensor in graft.model.state_dict().items():
        assert torch.equal(tensor, made.state_dict()[name])


def test_scores_are_left_out_and_never_made_up(tiny_source, tiny_base):
    assert "before_training" not in vocab.transplant(tiny_source, TARGET, texts=LINES, score=False).report
    silent = vocab.transplant(tiny_source, TARGET)
    assert silent.report["before_training"] == {"note": "No text was given: nothing was scored before training."}
    assert "No text was given" in silent.markdown
    note = vocab.transplant(tiny_base, TARGET, texts=LINES).report["before_training"]
    assert note == {"note": "BertModel has no language-modelling head: nothing can be scored before training."}
    blind = metaspace(["▁mata", "a"], ["<s>", "<pad>", "</s>", "<unk>"])
    note = vocab.transplant(tiny_source, blind, texts=LINES).report["before_training"]
    assert "scoring a masked model needs a mask token" in note["note"]
    held = vocab.transplant(tiny_source, TARGET, texts=LINES, score=["kuda tree house"]).report["before_training"]
    assert held["drawn"] == 3 and held["text"] == "held-out text"


def test_a_decoder_is_scored_in_bits(tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(TARGET), n_embd=16, n_layer=1, n_head=2, n_positions=64, bos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    TARGET.save_pretrained(tmp_path)
    graft = vocab.transplant(tmp_path, metaspace(["▁mata", "▁tree", "▁", *"abcdefhiklmnortuw"]), texts=LINES)
    found = graft.report["before_training"]
    assert found["kind"] == "bits" and "bits per character" in graft.markdown and "seudo" not in graft.markdown
    assert list(found["models"]) == ["source", "copy + random", "focus -> subwords -> mean"]


def test_words_that_one_model_cannot_write_are_left_out_for_all(tiny_source):
    model, old = load_model(tiny_source), load_tokenizer(tiny_source)
    lines = ["tree Tree tree"]
    words = [Word(0, 0, 4, "tree"), Word(0, 5, 9, "Tree"), Word(0, 10, 14, "tree")]
    lines, words = in_context(lines, words)
    windows = windows_of(model, old, lines, words)
    found = side_by_side([("a", model, windows), ("b", model, windows)], words)
    assert found["words"] == 2 and found["excluded"] == pytest.approx(1 / 3)
    assert found["models"]["a"]["against"] == [0, 0, 0]
    with pytest.raises(InputError, match="no word that all models can write"):
        side_by_side([("a", model, windows_of(model, old, lines, words[1:2]))], words[1:2])


def test_lines_are_drawn_in_order_and_seeded():
    text = [f"line {n}" for n in range(1000)]
    drawn = sample_lines(text, 50, 1)
    assert drawn == sample_lines(iter(text), 50, 1) != sample_lines(text, 50, 2)
    assert drawn == sorted(set(drawn), key=text.index) and len(drawn) == 50
    assert sample_lines(text[:7], 50, 1) == text[:7]
    # Every line is as likely as every other: the mean number of 400 samples lies within 4 standard errors.
    mean = np.mean([text.index(line) for seed in range(400) for line in sample_lines(text, 5, seed)])
    assert abs(mean - 499.5) < 4 * (1000 / math.sqrt(12)) / math.sqrt(2000)


def test_reports_can_be_written_as_json(graft):
    assert json.loads(json.dumps(graft.report)) == graft.report
    assert torch.isfinite(graft.model.get_input_embeddings().weight).all()
