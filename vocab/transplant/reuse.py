"""Put a mixture on another checkpoint with the same source vocabulary: a fine-tuned variant of the model it is from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexigraft import InputError
from vocab.device import DeviceName, by_device
from vocab.mixture import SPECIAL, Mixture
from vocab.mixture_join import EDIT
from vocab.transplant import Clock, Progress, finish
from vocab.transplant.start import words_asked

if TYPE_CHECKING:
    from vocab.transplant.graft import Graft


@by_device
def apply_mixture(
    mixture: Mixture | str | Path,
    source: Any,
    target: Any = None,
    *,
    texts: Any = None,
    parallel: Any = None,
    seed: int = 0,
    source_tokenizer: Any = None,
    trust_remote_code: bool = False,
    score: Any = True,
    device: DeviceName | None = "auto",
    progress: Progress | None = None,
) -> Graft:
    """Give a model a new vocabulary by a mixture that was made before.

    Args:
        mixture: the mixture, its file, or the folder that a transplant wrote.
        source: folder, hub id or model whose vocabulary is the mixture's source.
        target: the new tokenizer; None: the one in the mixture's folder.
        texts: lines in the language, for the report's frequencies and the check before training.
        parallel: parallel text, for the retrieval check of sentence-embedding models.
        seed: seed of the samples that are scored.
        source_tokenizer: where the source's tokenizer is, if not beside the model.
        trust_remote_code: run code that comes with the source model.
        score: see `vocab.transplant`.
        device: see `vocab.transplant`.
        progress: called as (steps done, steps in all, {"step": what}).

    Returns:
        The graft.

    Raises:
        InputError: the mixture was made for other vocabularies, or holds rows of another checkpoint's matrices.
    """
    from vocab.transplant.setting import Setting

    clock = Clock(progress, 3 + (score is not False))
    clock("loading")
    place = None if isinstance(mixture, Mixture) else Path(mixture)
    if target is None:
        target = place if place is None or place.is_dir() else place.parent
    if target is None:
        raise InputError("a mixture holds no tokenizer", expected="target=: the new tokenizer")
    setting = Setting.of(
        source, target, texts=texts, parallel=parallel, seed=seed, source_tokenizer=source_tokenizer,
        trust_remote_code=trust_remote_code,
    )  # fmt: skip
    made = mixture if isinstance(mixture, Mixture) else Mixture.load(mixture)
    made.check_sides(setting.old.fingerprint, setting.new.fingerprint)
    made_by = [name for name in made.names if name in made.methods() and name not in ("", SPECIAL, EDIT)]
    # Rows that a method copies stand under `copy` before its own.
    links = tuple(name for name in made_by if name != "copy") or tuple(made_by)
    asked = words_asked(setting, score)
    return finish(setting, made, links, clock, evidence="that of the mixture", asked=asked, facts={})
