"""Measure every transplant method on real text before any training, and write the page about them.

    python -m benchmarks.methods --source DIR --data DIR [--languages hau yor kin swa] [--figures docs/transplant.json]
                                 [--page docs/transplant.md]

SOURCE is a masked model with a head (benchmarks/forecast.py warms one up). For each language a Unigram tokenizer is
learnt and every method that has what it needs makes rows for it; held-out words are scored as the model then stands
(pseudo-bits per character), and hidden overlapping tokens are forecast. What is in the file of figures is not measured
again. DATA/<language>/raw/{train,heldout}.txt, parallel/train.{en,<language>}.txt, dict.en-<language>.tsv.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks import forecast as study

UNTOUCHED = "the source, untouched"
# What the output bias is worth by itself, see `vocab.transplant.prior`.
STARTS: dict[str, dict[str, Any]] = {
    "the default chain": {},
    "the default chain, bias mixed": {"bias": "mixed"},
    "focus, bias by frequency": {"method": "focus", "bias": "frequency"},
}


def given(arguments: argparse.Namespace, language: str, target: Any) -> dict[str, Any]:
    """Put together what methods may need, from the data of a language."""
    import vocab
    from vocab.tokenizer.load import load_tokenizer

    folder = arguments.data / language
    english = folder / "parallel" / "train.en.txt"
    text = folder / "raw" / "train.txt"
    return {
        "texts": [text],
        "dictionary": folder / f"dict.en-{language}.tsv",
        "parallel": (english, folder / "parallel" / f"train.{language}.txt"),
        "source_vectors": vocab.token_vectors(load_tokenizer(arguments.source), [english], "fasttext"),
        # No small model of these languages lies at hand: vectors of co-occurrence counts stand in for its rows.
        "helper": vocab.token_vectors(target, [text], "counts").dense,
    }


def arguments_of(name: str, all_given: dict[str, Any]) -> dict[str, Any]:
    """Choose what a method is given: no more than it needs."""
    from vocab.transplant.method import METHODS

    if name in STARTS:
        return {"texts": all_given["texts"], **STARTS[name]}
    method = METHODS[name]
    wanted = {key: all_given[key] for key in method.needs & all_given.keys()}
    if "source_vectors" in method.needs:
        wanted |= {"vectors": "fasttext", "dictionary": all_given["dictionary"]}
    return {"texts": all_given["texts"], "method": name, **wanted}


def measure(arguments: argparse.Namespace, figures: dict[str, Any]) -> None:
    """Fill in what the file of figures does not have yet."""
    from transformers import AutoModelForMaskedLM

    import vocab
    from vocab.tokenizer.load import load_tokenizer
    from vocab.transplant.method import METHODS

    for language in arguments.languages:
        heldout = arguments.data / language / "raw" / "heldout.txt"
        known = figures.setdefault(language, {})
        missing = [name for name in [UNTOUCHED, *STARTS, *METHODS.names] if name not in known]
        if not missing:
            continue
        folder = study.tokenizer_of(arguments, language, arguments.data / language / "raw" / "train.txt")
        target = load_tokenizer(folder)
        everything = given(arguments, language, target)
        for name in missing:
            if name == UNTOUCHED:
                model = AutoModelForMaskedLM.from_pretrained(arguments.source)
                bits = study.bits(model, load_tokenizer(arguments.source), heldout, arguments.words)
                known[name] = {"bits": round(float(bits), 3)}
            else:
                wanted = arguments_of(name, everything)
                start = time.process_time()
                graft = vocab.transplant(arguments.source, folder, score=False, **wanted)
                seconds = time.process_time() - start
                bits = study.bits(graft.model, graft.tokenizer, heldout, arguments.words)
                known[name] = {
                    "bits": round(float(bits), 3),
                    "seconds": round(seconds, 1),
                    "rows": graft.report["rows"],
                }
                texts = wanted.pop("texts")
                chain = wanted.pop("method", None)
                # The bias changes no row: what is forecast is the same.
                if name != "copy" and not wanted.pop("bias", None):
                    table = vocab.transplant.forecast(
                        arguments.source, folder, texts, {name: {"method": chain}}, seeds=(0,), most=500, **wanted
                    )
                    known[name] |= {"mrr": round(float(table["mrr"].iloc[0]), 3)}
            print(language, name, known[name], flush=True)
            arguments.figures.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def row(known: dict[str, Any], languages: list[str], name: str, key: str) -> str:
    """Write one line of the table of figures."""
    cells = [known.get(language, {}).get(name, {}).get(key) for language in languages]
    return f"| {name} | " + " | ".join("–" if cell is None else f"{cell:.3f}" for cell in cells) + " |"


def options_of(options: Any) -> str:
    """Write the options of a method, their defaults and what they do, on one line."""
    found = [
        f"`{name}` ({'not set' if field.default is None else field.default}): {' '.join(field.description.split())}"
        for name, field in options.model_fields.items()
    ]
    return " ".join(text if text.endswith(".") else f"{text}." for text in found) or "none"


def page(figures: dict[str, Any], languages: list[str]) -> str:
    """Write the page: what each method is, and the figures."""
    from vocab.transplant.method import METHODS

    head = "| | " + " | ".join(languages) + " |\n| --- | " + " | ".join("---:" for _ in languages) + " |"
    names = [UNTOUCHED, *STARTS, *METHODS.names]
    bits = "\n".join(row(figures, languages, name, "bits") for name in names)
    forecast = [name for name in names if any("mrr" in found.get(name, {}) for found in figures.values())]
    mrr = "\n".join(row(figures, languages, name, "mrr") for name in forecast)
    parts = [INTRODUCTION.format(head=head, bits=bits, mrr=mrr)]
    for name in METHODS.names:
        method = METHODS[name]
        needs = ", ".join(f"`{need}`" for need in sorted(method.needs)) or "nothing but the two vocabularies"
        seconds = [found[name]["seconds"] for found in figures.values() if "seconds" in found.get(name, {})]
        cost = f"{min(seconds):.0f} to {max(seconds):.0f} s" if seconds else "not measured"
        back = " → ".join(method.fallback) or "–"
        parts.append(
            f"## {name}\n\n{method.summary}\n\n"
            f"- **Formula**: {method.formula}\n- **Paper**: {method.paper}\n- **Needs**: {needs}\n"
            f"- **Rows without evidence**: {back}\n- **Evidence of a row**: {method.evidence}\n"
            f"- **Options**: {options_of(method.options)}\n"
            f"- **Cost**: {cost} (8,000 tokens, processor time, evidence and loading included)\n"
            f"- **When**: {method.when}\n- **When not**: {method.when_not}\n"
        )
    return "\n".join(parts)


INTRODUCTION = """# Vocabulary transplants: the methods, and what each was worth before training

Written by `benchmarks/methods.py` from the methods' own descriptions and `docs/transplant.json`.
`E_s`, `E_t` are the old and the new embedding rows, `O` the tokens that both vocabularies have, `cos` a cosine between
vectors of tokens.

Source: multilingual-e5-small (XLM-R's 250,002 pieces) with a language-modelling head that was warmed up with body and
vocabulary fixed; target: an 8,000-piece Unigram tokenizer of each language; nothing was trained afterwards. `copy` is
*copy + random*. For `ofa`, `tokenadapt` and `wechsel` the vectors are fastText of the text and of the English side of
parallel text, turned together by a dictionary; for `clp` and `omp` vectors of co-occurrence counts stand in for the
rows of a small model, which none of the languages has at hand. A Unigram tokenizer has no merges, so the figures of
`merge` are those of the old pieces that it falls back on. A dash: not measured.

The default chain also brings the output bias to the tokens' frequencies (`vocab.transplant.prior`, after Meister et al.
2023), which is worth more here than any choice of rows: the head was warmed up for 200 steps only and predicts little
more than frequencies. Rows are to be compared with the bias alike: a named method mixes its bias as published, so it
stands beside *the default chain, bias mixed*.

Pseudo-bits per character of 100 held-out words, lower is better (`vocab.score`; too few for differences of a few
hundredths); the untouched source writes the same words with its own vocabulary:

{head}
{bits}

Forecast on hidden shared tokens: mean reciprocal rank of the true row among all hidden ones, higher is better:

{head}
{mrr}

What these figures are worth as a forecast of the order *after* training: see [forecast.md](forecast.md).

## Speed, beside the authors' code

`python -m benchmarks.transplant --source DIR --text FILE --clock cpu` (or `make bench-transplant`), seconds of the
processor, one thread; source of 250,037 pieces without a head, 5.4 MB of Hausa, BPE tokenizers of the language:

| | 16,000 tokens: deepfocus | ours | ratio | 50,000: deepfocus | ours | ratio |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| canonical forms and overlap | 5.42 | 0.15 | 36.1x | 6.72 | 0.20 | 33.6x |
| FOCUS proper, the same vectors | 1.67 | 0.06 | 27.7x | 1.14 | 0.05 | 20.7x |
| all, vectors included: fastText, the default's evidence | 32.39 | 2.45 | 13.2x | 36.78 | 5.07 | 7.2x |
| rows left random | 37.9 % | 0 % | | 72.9 % | 0 % | |
| memory beyond the two matrices, rows and applying | | 146 MB | | | 217 MB | |

One run each; FOCUS proper at 16,000 in three: 25.0x, 27.7x and 28.1x. It takes 2.2 and 3.6 times the bare matrix
product; 99.9 % of its rows are deepfocus's at cosine 0.9999, the lowest .95 and .92. Loading is left out on both sides.
A source with a language-modelling head also gets its output bias shifted, which takes some 4 s and loads its body.
The whole call's peak beyond the two matrices, libraries left out and some 300 MB of the source's tokenizer included
(`python -m benchmarks.transplant_memory SOURCE TARGET TEXT`): with a head, its bias shifted and the check before
training, which loads the body, 445 MB at 16,000 tokens and 497 to 506 at 50,000; without a head 499 at 50,000.

What the rows are worth before any training, beside deepfocus's own (`--heldout FILE --parallel FILE FILE`; Hausa,
16,000 tokens; the source with its head warmed up for 200 steps; in the run that gave the times below): accuracy@1
over 1,000 pairs of parallel text, pseudo-bits per character over 200 held-out words. Means of three seeds (42,
deepfocus's default, 0 and 1), which draw random rows; 95 % intervals of the difference, paired over pairs or words:

| | source | deepfocus | ours, FOCUS | ours, default chain | default less deepfocus |
| --- | ---: | ---: | ---: | ---: | ---: |
| English to Hausa | .694 | .396 | .390 | .560 | +.164 (+.138 to +.191) |
| Hausa to English | .575 | .260 | .267 | .399 | +.140 (+.118 to +.162) |
| a sentence among those that the source embeds | | .885 | .882 | .973 | +.088 (+.071 to +.106) |
| pseudo-bits, bias by frequency on both sides | | 2.728 | 2.727 | 2.712 | -0.016 (-0.026 to -0.005) |
| pseudo-bits, bias as mixed | | 3.465 | 3.156 | 3.193 | -0.272 (-0.386 to -0.160) |

and the same of Yoruba:

| | source | deepfocus | ours, FOCUS | ours, default chain | default less deepfocus |
| --- | ---: | ---: | ---: | ---: | ---: |
| English to Yoruba | .746 | .358 | .356 | .418 | +.060 (+.037 to +.082) |
| Yoruba to English | .683 | .250 | .258 | .281 | +.032 (+.016 to +.049) |
| a sentence among those that the source embeds | | .498 | .511 | .610 | +.111 (+.089 to +.133) |
| pseudo-bits, bias by frequency on both sides | | 3.366 | 3.368 | 3.372 | +0.006 (-0.009 to +0.022) |
| pseudo-bits, bias as mixed | | 5.026 | 4.537 | 4.463 | -0.563 (-0.724 to -0.408) |

Retrieval is better beyond noise on both; pseudo-bits with the same bias on Hausa by little, on Yoruba they cannot be
told apart. deepfocus makes no bias: in the last line it has the shared tokens' own and the mean for the others. In
these runs the whole call took 2.39 against 39.58 s and 5.06 against 73.87 s, **16.6x and 14.6x**; FOCUS proper 25.8x
and 29.4x, canonical forms and overlap 42.7x and 33.7x (4.3 MB of Hausa, 9.2 MB of Yoruba).

- WECHSEL after its vectors, 16,000 x 250,002: 68.5 against 13.1 s, 5.2x; the same answer twice, all rows at cosine
  0.9999.
- OFA: numpy's SVD of the matrix 17.9 s, eigenvectors of its Gram matrix 0.56 s, 31.9x; directions off by 8e-9. Ten
  nearest of 250,037 for 512 tokens: products and a full sort 14.1 s, ours 0.50 s, 28.3x; the same answer.
- Made-up vocabularies (names and vectors, 64 dimensions, 50,000 shared) beside a source of 250,000: a target of 250,000
  takes 24 s, 500,000 56 s, 1,000,000 113 s; peaks of 1.2, 1.8 and 3.2 GB, both matrices included.
"""


def main() -> None:
    """Measure what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--source", type=Path, help="folder of a masked model with a head; without it nothing is measured"
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--languages", nargs="+", default=["hau", "yor", "kin", "swa"])
    parser.add_argument("--out", type=Path, default=Path("forecast-study"), help="where tokenizers are kept")
    parser.add_argument("--figures", type=Path, default=Path("docs/transplant.json"))
    parser.add_argument("--page", type=Path, default=Path("docs/transplant.md"))
    parser.add_argument("--size", type=int, default=8000)
    parser.add_argument("--words", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    figures = json.loads(arguments.figures.read_text(encoding="utf-8")) if arguments.figures.is_file() else {}
    if arguments.source is not None:
        import torch

        torch.set_num_threads(arguments.threads)
        measure(arguments, figures)
    arguments.page.write_text(page(figures, arguments.languages), encoding="utf-8")


if __name__ == "__main__":
    main()
