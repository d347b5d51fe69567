"""A run's models tried on the page: what is shown is what the models say, and nothing typed becomes HTML."""

from __future__ import annotations

import pytest

from app.parts.try_out import FILL, GAP, gaps, written
from lexigraft import InputError

from .conftest import NASTY
from .test_pages import drawn, sound


@pytest.fixture
def masked(tiny_source):
    from adapt.tuning.adapters import load_tuned
    from vocab.tokenizer.load import load_tokenizer

    return load_tuned(tiny_source), load_tokenizer(tiny_source)


def test_gaps_are_filled_with_what_the_model_finds_most_probable(masked):
    import torch

    model, tokenizer = masked
    found = gaps(model, tokenizer, f"walking {GAP} the {GAP}")
    assert [len(guesses) for guesses in found] == [5, 5]
    ids = tokenizer(f"walking {tokenizer.mask_token} the {tokenizer.mask_token}", return_tensors="pt")["input_ids"]
    place = (ids[0] == tokenizer.mask_token_id).nonzero().ravel()[1]
    with torch.no_grad():
        shares = model(input_ids=ids).logits[0, place].softmax(-1)
    assert found[1][0][1] == pytest.approx(shares.max().item(), rel=1e-4)
    assert found[1][0][0] == tokenizer.decode([int(shares.argmax())]).strip()
    assert [share for _, share in found[0]] == sorted((share for _, share in found[0]), reverse=True)
    with pytest.raises(InputError, match="no gap"):
        gaps(model, tokenizer, "walking the house")
    with pytest.raises(InputError, match="more text than the model reads"):
        gaps(model, tokenizer, f"{GAP} {'house ' * 600}")


def test_a_decoder_goes_on(tiny_decoder):
    """Greedy: the first token written is the most probable one."""
    import torch

    from adapt.tuning.adapters import load_tuned
    from vocab.tokenizer.load import load_tokenizer

    model, tokenizer = load_tuned(tiny_decoder), load_tokenizer(tiny_decoder)
    model.generation_config.update(max_new_tokens=3, eos_token_id=None)
    ids = tokenizer("walking the", return_tensors="pt", add_special_tokens=False)["input_ids"]
    begin = [] if tokenizer.bos_token_id is None else [[tokenizer.bos_token_id]]
    with torch.no_grad():
        first = int(
            model(input_ids=torch.cat([*map(torch.tensor, [begin] if begin else []), ids], 1)).logits[0, -1].argmax()
        )
    expected = tokenizer.decode([*ids[0].tolist(), first])[len("walking the") :]
    assert written(model, tokenizer, "walking the").startswith(expected)


def test_on_the_page(app, finished_run, monkeypatch):
    monkeypatch.setenv("LEXIGRAFT_RUNS", str(finished_run.folder.parent))
    name = finished_run.folder.name
    test = app("views/runs.py", run=name)
    assert sound(test) and not test.error
    kinds = test.button_group(key=f"try:{name}")
    assert kinds.options == [FILL, "Label: NER", "Label: POS", "Label: sentiment"]
    assert GAP in test.text_area(key=f"try:{name}:{FILL}:text").value

    def press():
        next(button for button in test.button if button.label == "Try").click().run()
        assert sound(test)
        return drawn(test)

    assert "lx-guesses" in press() and not test.error
    test.text_area(key=f"try:{name}:{FILL}:text").set_value(f"{NASTY} ma")
    assert "lx-try" not in press() and "no gap" in test.error[0].value

    from adapt.predict import predict

    test.button_group(key=f"try:{name}").set_value("ner").run()
    test.multiselect(key=f"try:{name}:ner:arms").set_value(["adapted"])
    test.text_area(key=f"try:{name}:ner:text").set_value(f"walking mama {NASTY}")
    page = press()
    assert "<img" not in page and "&lt;" in page
    (row,) = predict(finished_run.folder, "ner", [f"walking mama {NASTY}"], "adapted")
    assert page.count('class="lx-word"') == len(row["tokens"])
    assert all(f'<span class="lx-n">{label}</span>' in page for label in set(row["labels"]) - {"O"})


def test_nothing_to_try(app, runs):
    from .conftest import write_run

    write_run(runs / "nya-a")
    test = app("views/runs.py", run="nya-a")
    assert sound(test) and "kept nothing to try" in "".join(info.value for info in test.info)
