"""`import vocab` is light, and its verbs are called whichever of their parts was imported first."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "fasttext", "adapt", "streamlit", "datasets", "peft")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_is_light():
    assert run(f"import vocab, sys; print([m for m in {HEAVY!r} if m in sys.modules])") == "[]"


def test_import_is_quick():
    assert float(run("import time, vocab; print(time.process_time())")) < 2, (
        "seconds of processor, Python's start included"
    )


@pytest.mark.parametrize(
    "first",
    [
        "import vocab; f = vocab.transplant",
        "from vocab import transplant as f",
        "import vocab.transplant.method; import vocab; f = vocab.transplant",
        "import vocab.transplant.method as m; from vocab import transplant as f; m.METHODS['copy']",
        "from vocab import transplant as f; import vocab.transplant.chain",
        "from vocab.transplant import transplant as f",
    ],
)
def test_transplant_is_a_function_and_a_package(first):
    out = run(
        f"{first}\nimport inspect\nfrom lexigraft import InputError\n"
        "try:\n    f('/nowhere', '/nowhere', method='fcous')\nexcept InputError as e:\n    print(e)\n"
        "print(list(inspect.signature(f).parameters)[:3])\n"
        "import vocab.transplant.method as m; print(m.METHODS.names[0])"
    )
    assert "did you mean 'focus'" in out
    assert "['source', 'target', 'method']" in out


@pytest.mark.parametrize(
    "first",
    [
        "import vocab; f = vocab.compare",
        "from vocab import compare as f",
        "import vocab.compare; f = vocab.compare",
        "import vocab, vocab.compare; from vocab import compare as f",
    ],
)
def test_compare_is_a_function_and_a_package(first):
    out = run(
        f"{first}\nfrom lexigraft import InputError\n"
        "try:\n    f({}, iter(['a']))\nexcept InputError as e:\n    print('refused')"
    )
    assert out == "refused"


def test_public_names():
    names = run("import vocab; print(*sorted(dir(vocab))); vocab.Mixture, vocab.Vocabulary, vocab.token_vectors")
    assert names.split() == ["Mixture", "Vocabulary", "compare", "token_vectors", "train_tokenizer", "transplant"]
    assert run("import vocab\ntry:\n    vocab.nothing\nexcept AttributeError:\n    print('no')") == "no"
