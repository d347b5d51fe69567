"""What dense steps are computed on: the choice, the same results with torch as with numpy, and short memory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.sparse import random as random_sparse
from transformers import AutoTokenizer

import vocab
from lexigraft import InputError
from tests.conftest import ROOT
from tests.imagined import run_there
from vocab import device
from vocab.device import Place, computing_on, here, placed
from vocab.matrix import top_directions
from vocab.transplant.nearest import nearest, softmax_of_nearest
from vocab.transplant.omp import pursue
from vocab.transplant.sparsemax import sparsemax
from vocab.vectors.evidence import Evidence

WHERE = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here"))]


def test_a_gpu_is_taken_where_one_is_and_none_is_needed(monkeypatch):
    for gpu in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda on: "Imagined 9000")
        with computing_on("auto") as place:
            assert here() is place and (place is not None) == gpu
            assert device.told() == ("cuda (Imagined 9000)" if gpu else "cpu")
        with computing_on("cpu") as place:
            assert place.device.type == "cpu" and device.told() == "cpu (torch)"
        with computing_on(None):
            assert here() is None
    assert here() is None


def test_a_device_that_is_not_there_is_refused(monkeypatch, tiny_source):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="no cuda; found device: cuda; expected device: auto or cpu"):
        vocab.transplant(tiny_source, tiny_source, device="cuda")
    with pytest.raises(InputError, match="unknown device; found device: tpu; expected device: auto or cpu"):
        vocab.transplant(tiny_source, tiny_source, device="tpu")


PRECISION = """
import torch
from vocab.device import computing_on
def state():
    found = [torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision]
    for tell in (torch.get_float32_matmul_precision, lambda: torch.backends.cuda.matmul.allow_tf32):
        try:
            found.append(tell())
        except RuntimeError:
            found.append("refused")
    return found
matmul = torch.backends.cuda.matmul
for change, undo in (
    (lambda: torch.set_float32_matmul_precision("medium"), lambda: torch.set_float32_matmul_precision("highest")),
    (lambda: setattr(matmul, "allow_tf32", True), lambda: setattr(matmul, "allow_tf32", False)),
    (lambda: setattr(matmul, "fp32_precision", "tf32"), lambda: None),
):
    change()
    before = state()
    with computing_on("cpu"):
        assert state() == ["ieee", "ieee", "highest", False], state()
    assert state() == before != ["ieee", "ieee", "highest", False], (before, state())
    undo()
"""


def test_products_are_full_float32_inside_and_settings_are_as_before_outside():
    if not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        pytest.skip(f"torch {torch.__version__} has one setting of precision")
    done = subprocess.run([sys.executable, "-c", PRECISION], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    draw = np.random.default_rng(0)
    dense = draw.standard_normal((6000, 300)).astype(np.float32)
    dense[5000:] = 0
    sparse = random_sparse(6000, 3000, 0.004, "csr", dtype=np.float32, random_state=1)
    return Evidence(dense / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-9), sparse)


@pytest.mark.parametrize("where", WHERE)
def test_similarities_and_their_sparsemax(where, evidence):
    ids = np.random.default_rng(1).permutation(6000)
    anchors, rows = ids[:2500], ids[2500:3500]
    scores = evidence.against(anchors)(rows)
    found = sparsemax(scores)
    with computing_on(where) as on:
        there = evidence.against(anchors, on)(rows)
        again = sparsemax(there)
    assert there.device.type == where
    np.testing.assert_allclose(there.cpu(), scores, atol=1e-6)
    assert np.array_equal(found[0], again[0]) and np.array_equal(found[1], again[1])
    np.testing.assert_allclose(again[2], found[2], atol=1e-6)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("size", [1, 10, 700])
def test_the_nearest_are_the_same_and_in_the_same_order_where_many_tie(where, size):
    # Small whole numbers: products are exact, whatever the order of sums, and most of them tie.
    draw = np.random.default_rng(2)
    rows, known = (draw.integers(-2, 3, shape).astype(np.float32) for shape in ((500, 8), (8, 20_000)))
    index, value = nearest(rows, known, size)
    with computing_on(where):
        again = nearest(rows, known, size)
    assert np.array_equal(again[0], index) and np.array_equal(again[1], value)


@pytest.mark.parametrize("where", WHERE)
def test_mixtures_of_the_nearest(where, evidence):
    given = (evidence.dense, evidence.dense[::-1], (6000, 6000), np.arange(6000), 10, 0.1)
    rows, weights, best = softmax_of_nearest(*given)
    with computing_on(where):
        again = softmax_of_nearest(*given)
    assert np.array_equal(again[0], rows) and np.array_equal(again[1].indices, weights.indices)
    np.testing.assert_allclose(again[1].data, weights.data, atol=1e-6)
    np.testing.assert_allclose(again[2], best, atol=1e-6)


@pytest.mark.parametrize("where", WHERE)
def test_directions_of_a_factorisation(where):
    matrix = (np.random.default_rng(3).standard_normal((20_000, 96)) @ np.diag(np.arange(1, 97))).astype(np.float32) + 9
    directions = top_directions(matrix, 19_000, 20)
    with computing_on(where):
        again = top_directions(torch.from_numpy(matrix), 19_000, 20)
    np.testing.assert_allclose(again @ again.T, directions @ directions.T, atol=1e-5)
    np.testing.assert_allclose(again, directions, atol=1e-3)  # neighbours among them are nearly of one strength


@pytest.mark.parametrize("where", WHERE)
def test_pursuit(where):
    draw = np.random.default_rng(4)
    targets, atoms = (draw.standard_normal((count, 64)).astype(np.float32) for count in (200, 700))
    found = pursue(targets, atoms, 30)
    with computing_on(where) as on:
        again = pursue(on.put(targets), on.put(atoms), 30)
    assert all(np.array_equal(one, other) for one, other in zip(found[0], again[0], strict=True))
    for one, other in zip(found[1], again[1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_short_memory_makes_smaller_blocks_and_is_told():
    place, asked = Place(torch.device("cpu")), []

    def work(part: slice) -> list[int]:
        asked.append(part.stop - part.start)
        if asked[-1] > 3:
            raise torch.OutOfMemoryError("imagined")
        return list(range(part.start, part.stop))

    made = place.in_blocks(10, 1, work)
    assert sum(made, []) == list(range(10)) and asked[:3] == [10, 5, 2]
    assert place.notes[-1] == "memory of cpu was short: worked on with 2 rows at a time"
    with pytest.raises(torch.OutOfMemoryError):
        place.in_blocks(1, 1, lambda part: work(slice(0, 4)))


def test_blocks_are_cut_by_what_is_free(monkeypatch):
    place, asked = Place(torch.device("cpu")), []
    for free, rows in ((None, 64), (1 << 26, 32), (1 << 30, 64)):
        monkeypatch.setattr(Place, "free", lambda self, free=free: free)
        asked.clear()
        place.in_blocks(100, 1 << 20, lambda part: asked.append(part.stop - part.start))
        assert asked[0] == rows and sum(asked) == 100


def test_a_model_that_does_not_fit_stays_where_it_is(monkeypatch):
    model = torch.nn.Linear(4, 4)
    monkeypatch.setattr(Place, "free", lambda self: 1 << 29)
    with computing_on(Place(torch.device("meta"))) as place:
        assert placed(model).weight.device.type == "cpu" and "left on the processor" in place.notes[0]
    monkeypatch.setattr(Place, "free", lambda self: 1 << 34)
    with computing_on(place):
        assert placed(model).weight.device.type == "meta"


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    "method", [None, "ofa", "kriging", "clp", "omp", "tokenadapt"], ids=lambda method: method or "default"
)
def test_a_transplant_is_the_same_and_says_where_it_was_made(where, method, tiny_source, language, tmp_path):
    text = language / "text.txt"
    target = vocab.train_tokenizer(text, like=tiny_source, vocab_size=120)
    draw, steps = np.random.default_rng(5), []
    given = {
        "vectors": draw.standard_normal((len(target), 24)),
        "source_vectors": draw.standard_normal((len(AutoTokenizer.from_pretrained(tiny_source)), 24)),
        "helper": draw.standard_normal((len(target), 24)).astype(np.float32),
        "options": {"ofa": {"rank": 7}} if method == "ofa" else None,
    } if method else {}  # fmt: skip

    def make(on):
        return vocab.transplant(
            tiny_source, target, method=method, texts=text, device=on, score=method is None,
            progress=lambda done, total, facts: steps.append(facts["device"]), **given,
        )  # fmt: skip

    here, there = make(None), make(where)
    assert here.report["device"] == steps[0] == "cpu" and there.report["device"] == steps[-1] != "cpu"
    one, other = here.mixture, there.mixture
    assert np.array_equal(one.weights.indices, other.weights.indices) and np.array_equal(one.method, other.method)
    np.testing.assert_allclose(one.weights.data, other.weights.data, atol=1e-6)
    np.testing.assert_allclose(one.evidence, other.evidence, atol=1e-6)
    rows = [made.model.get_input_embeddings().weight.detach() for made in (here, there)]
    assert rows[1].device.type == "cpu" and torch.allclose(*rows, atol=1e-6)
    if method is None:
        np.testing.assert_allclose(one.bias_shift, other.bias_shift, atol=1e-3)
        values, again = (made.report["before_training"]["models"] for made in (here, there))
        assert {name: value["value"] for name, value in values.items()} == pytest.approx(
            {name: value["value"] for name, value in again.items()}, abs=1e-3
        )
    files = [{file.name: file.stat().st_size for file in made.save(tmp_path / made.report["device"]).iterdir()
              if file.suffix == ".safetensors"} for made in (here, there)]  # fmt: skip
    assert files[0] == files[1]


FAKE = """
import sys
from pathlib import Path
import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor
from tests.imagined import imagine
from vocab.head import Predictor
from vocab.score import word_bits
from vocab.windows import sample_words
from vocab.transplant import prior, trial
from vocab.transplant.sentences import embed
from vocab.transplant.setting import Setting
there, mode, brought = imagine()
FakeTensor.cpu, FakeTensor.__float__ = lambda tensor: tensor, lambda tensor: 0.0
FakeTensor.numpy = lambda tensor: np.zeros(tensor.shape, np.float32)
lines = Path(sys.argv[3]).read_text(encoding="utf-8").splitlines()
take_apart = Predictor.__dict__["of"]
for causal, source in enumerate(sys.argv[1:3]):
    setting = Setting.of(source, source, texts=lines)
    model = setting.carrier.fresh()
    predictor = Predictor.of(model)
    Predictor.of = lambda model: predictor  # it compares numbers, which are not there
    options = trial.TrialOptions(sequence_length=16, steps=2, heldout_tokens=256)
    batch = trial.Exercise.of(setting, options, bool(causal)).train[0]
    brought(model)
    with mode:
        trial._nats(predictor, batch).mean().backward()
        assert {p.grad.device for p in model.parameters()} == {there}
        assert len(word_bits(model, setting.tokenizer, lines[:5], sample_words(lines[:5], 3, 0)).bits) == 3
        if not causal:
            assert len(embed(model, setting.tokenizer, lines[:3])) == 3
            states, labels, weight, bias = prior._asked(setting, setting.mixture("subwords -> mean"), model)
            assert {states.device, labels.device, weight.device, bias.device} == {there}
            prior._loss(states, labels, weight, bias)
        try:  # what trial._nats has just done, with tensors that were left behind
            predictor.gathered(torch.from_numpy(batch.ids), None, torch.from_numpy(batch.flat))
        except (NotImplementedError, RuntimeError):
            pass
        else:
            raise SystemExit("tensors on two devices went unseen")
    Predictor.of = take_apart
"""


def test_models_that_are_asked_leave_nothing_on_the_processor(tiny_source, tiny_decoder, language):
    run_there(FAKE, tiny_source, tiny_decoder, language / "text.txt")
