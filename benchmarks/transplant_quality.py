"""Ask what the rows of a transplant are worth before any training, ours beside deepfocus's, on the same words.

Retrieval: sentences of parallel text are looked for by the mean of the body's states, the source's language always
embedded by the untouched source; and each sentence among those that the source itself embeds (`itself`). Pseudo-bits:
held-out words (`vocab.score`); with the output bias mixed as our rows are, where deepfocus, which makes none, gets that
of shared tokens copied and the mean for the others; and with the bias of both brought to the tokens' frequencies
(`vocab.transplant.prior`), so that only rows differ. A seed draws the random rows and, of the default chain, the
factorisation of counts; fastText is trained once on either side.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

PEER, FOCUS, DEFAULT = "deepfocus", "our focus", "the default chain"
RETRIEVAL = ("source to target", "target to source", "itself")
BITS = {"mixed": "pseudo-bits, bias mixed", "frequency": "pseudo-bits, bias by frequency"}
_RESAMPLES = 2000

Rows = Callable[[int], Path]
Found = dict[tuple[str, str], list[np.ndarray]]  # measure, side -> what each pair or word gave, a seed each


def foreign(setting: Any, rows: Any, name: str) -> Any:
    """Take rows that another package made as a mixture: those that are an old row are copies, the others explicit.

    Args:
        setting: what the transplant starts from.
        rows: torch tensor (target, dim).
        name: what the mixture calls them.
    """
    import torch

    from vocab.matrix import fingerprint
    from vocab.mixture import Mixture

    mixture, matrix = setting.mixture("copy -> mean"), setting.matrices["input"]
    alike = (mixture.apply(matrix) == rows).all(dim=1).numpy() & mixture.copied
    rest = np.flatnonzero(~alike)
    values = {fingerprint(matrix, len(setting.old)): rows[torch.from_numpy(rest)].numpy()}
    return Mixture.build(setting.old, setting.new, name, rest, explicit=values).then(mixture)


def measure(
    source: Path, target: Path, text: Path, heldout: Path, parallel: tuple[Path, Path], peer: Rows | None,
    seeds: list[int], words: int, pairs: int,
) -> Found:  # fmt: skip
    """Make rows by each side and seed, put them on the source and look.

    Args:
        source: folder of a masked model with a head.
        target: folder of the new tokenizer.
        text: what rows are made with.
        heldout: text whose words are scored.
        parallel: the source's language and the target's, line by line.
        peer: gives the file of deepfocus's rows for a seed; None leaves that side out.
        seeds: of what is drawn.
        words: how many are scored.
        pairs: how many are looked for.
    """
    from safetensors.torch import load_file

    from vocab.score import word_bits
    from vocab.transplant.apply import with_rows
    from vocab.transplant.prior import with_prior
    from vocab.transplant.sentences import embed, hits
    from vocab.transplant.setting import Setting
    from vocab.windows import sample_words

    first = Setting.of(source, target, texts=[text])
    lines = heldout.read_text(encoding="utf-8").splitlines()
    chosen = sample_words(lines, words, 0)
    sides = [file.read_text(encoding="utf-8").splitlines() for file in parallel]
    drawn = np.sort(np.random.default_rng(0).permutation(len(sides[0]))[:pairs])
    here, there = ([side[i] for i in drawn] for side in sides)
    model = first.carrier.fresh().eval()
    before, untouched = (embed(model, first.old_tokenizer, part) for part in (here, there))
    found: Found = {}
    found[RETRIEVAL[0], "source"], found[RETRIEVAL[1], "source"] = [hits(before, untouched)], [hits(untouched, before)]
    status: list[list[str]] = []
    first.mixture("focus")
    fasttext = {"fasttext": first._made["fasttext"]}
    for seed in seeds:
        setting = replace(first, seed=seed, _made=dict(fasttext), notes=[])
        made = {DEFAULT: setting.mixture(None), FOCUS: setting.mixture("focus")}
        if peer is not None:
            made[PEER] = foreign(setting, load_file(peer(seed))["rows"], PEER)
        for side, mixture in made.items():
            graft = with_rows(model, mixture, setting.old, setting.new).eval()
            for bias, measured in BITS.items():
                if bias == "frequency":
                    shifted = with_prior(setting, mixture, graft)[0]
                    graft = with_rows(model, shifted, setting.old, setting.new).eval()
                scored = word_bits(graft, setting.tokenizer, lines, chosen)
                status.append(scored.status)
                found.setdefault((measured, side), []).append(scored.bits)
            after = embed(graft, setting.tokenizer, there)  # the bias is no part of it
            for name, (one, other) in zip(
                RETRIEVAL, ((before, after), (after, before), (after, untouched)), strict=True
            ):
                found.setdefault((name, side), []).append(hits(one, other))
    use = np.all([[word == "ok" for word in row] for row in status], axis=0)
    sizes = np.array([len(word.text) for word in chosen], float)[use]
    for (name, _), seen in found.items():
        if name in BITS.values():
            # Bits a character of the whole is the mean of these.
            seen[:] = [bits[use] / sizes.mean() for bits in seen]
    return found


def between(one: list[np.ndarray], other: list[np.ndarray]) -> tuple[float, float, float]:
    """Mean of one less that of the other, seeds averaged, and its 95 % interval: bootstrap over pairs or words."""
    gap = np.mean(one, axis=0) - np.mean(other, axis=0)
    times = np.random.default_rng(0).multinomial(len(gap), np.full(len(gap), 1 / len(gap)), _RESAMPLES)
    low, high = np.percentile(times @ gap / len(gap), [2.5, 97.5])
    return float(gap.mean()), float(low), float(high)


def report(found: Found, seeds: list[int]) -> None:
    """Print each measure by side, the least and the most of the seeds, and ours less deepfocus's."""
    print(f"  before any training, {len(seeds)} seeds (least to most); ours less {PEER}'s, 95 % interval, paired")
    for name in (*RETRIEVAL, *BITS.values()):
        number = len(next(seen[0] for (measured, _), seen in found.items() if measured == name))
        print(f"  {name} ({number} {'words' if name in BITS.values() else 'pairs'})")
        for side in ("source", PEER, FOCUS, DEFAULT):
            if (seen := found.get((name, side))) is None:
                continue
            means = [float(part.mean()) for part in seen]
            told = f"    {side:18s} {statistics.mean(means):.3f} ({min(means):.3f} to {max(means):.3f})"
            if side in (FOCUS, DEFAULT) and (name, PEER) in found:
                gap, low, high = between(seen, found[name, PEER])
                told += f"   {gap:+.3f} ({low:+.3f} to {high:+.3f})"
            print(told, flush=True)
