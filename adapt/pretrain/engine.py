"""Continued pretraining: our own loop, because stock ones scale the loss wrongly and do not resume to the bit.

The loss of an optimiser step is the sum of nats over all its predicted tokens, divided by their number; how the step is
cut into micro-batches changes neither what is masked nor the gradient. Everything random in step s is drawn from
generators seeded by (seed, s), so a run goes on from a checkpoint as if it had never stopped: killed at any moment, it
ends in the same bytes on the same kind of processor with the same number of threads (`torch.get_num_threads()`, which
is noted in each checkpoint: other numbers give other sums and so other bits).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapt.files import digest, digest_of, move_into_place, read_json, write_json
from adapt.pretrain import checkpoint as saved
from adapt.pretrain.distributed import World, by_all
from adapt.pretrain.loop import Progress, loop, restore, take_weights
from adapt.pretrain.measure import measure
from adapt.pretrain.mixing import TEXT, seen
from adapt.pretrain.model import save_plain
from adapt.pretrain.options import BUDGETS, Pretrain
from adapt.pretrain.step import Setup, set_up
from adapt.pretrain.texts import Beside, tokenise_all
from adapt.pretrain.watchers.watcher import refuse
from adapt.pretrain.watching import Watching
from lexigraft import InputError
from vocab.tokenizer.load import load_tokenizer

__all__ = ["measure", "pretrain"]

NOTHING = Beside()


@dataclass(frozen=True)
class Branch:
    """An end for a training from one of its checkpoints: the rate falls over some steps, and a finished model is saved.

    Attributes:
        root: folder that holds the training's checkpoints.
        step: of the checkpoint.
        steps: how many the rate falls over.
    """

    root: Path
    step: int
    steps: int


@by_all
def pretrain(
    model_dir: Path,
    tokenizer_dir: Path,
    text: Path,
    heldout: Path | None,
    options: Pretrain,
    steps: int,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
    beside: Beside = NOTHING,
    branch: Branch | None = None,
) -> dict[str, Any]:
    """Train a model on a text, or go on where a call with the same arguments was stopped.

    Args:
        model_dir: the model to start from; a language-modelling head is added where it has none.
        tokenizer_dir: its tokenizer.
        text: training text, one line a sentence or paragraph.
        heldout: text for the loss that is looked at now and then, never trained on; or None.
        options: settings of the training.
        steps: optimiser steps.
        seed: seed of order, masks and dropout.
        folder: gets tokens/, checkpoints/, log.jsonl, and at last model/ and finished.json.
        progress: told steps done, all steps, and facts: loss, tokens_per_second, seconds_left; or a `notice`.
        beside: texts that some settings need.
        branch: bring another training, of the same arguments, to an end from one of its checkpoints instead.

    Returns:
        steps (done), exported_step, seconds (in the loop, over all resumptions), step_seconds, tokens, characters,
        tokens_per_second, characters_per_second, loss, heldout_loss, parameters, trained_parameters, adapters (bytes of
        each file beside the plain model), resumed_from, notices, precision, threads (of each process), processes,
        device, new_head, corpora (what `mixing.seen` counts), and what the watchers sum up.

    Raises:
        InputError: bad input, a full disk, or what a watcher refuses (a loss that is no number); checkpoints stay as
            they are.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    say: Progress = progress or (lambda done, total, facts: None)
    texts = {"text": text, **beside.files, **options.selective.files, **options.distil.files}
    identity = _identity(model_dir, tokenizer_dir, texts, options, steps, seed, branch)
    first, end = (branch.step, branch.step + branch.steps) if branch else (0, steps)
    finished = read_json(folder / "finished.json")
    if finished and finished.get("identity") == identity and (folder / "model" / "config.json").is_file():
        return finished["facts"]
    refuse(options.watchers, {**texts, "heldout": heldout})
    with saved.disk_full_said(folder):
        say(first, end, {"what": "tokenising"})
        tokenizer, world = load_tokenizer(tokenizer_dir), World.here()
        with world.leader_first():
            others = tokenise_all(
                text, beside, tokenizer, options.mix, seed, folder / "tokens", lambda d, t, f: say(first, end, f)
            )
        tokens = others.pop(TEXT)
        root, again = folder / "checkpoints", False
        while True:
            setup = set_up(model_dir, tokenizer_dir, tokens, tokenizer, options, steps, seed, others)
            setup.decay = (branch.step, branch.steps) if branch else None
            per_token = tokens.facts["characters"] / tokens.facts["tokens"]
            with world.leader_first():
                watching = Watching(setup, tokenizer, heldout, beside, folder, end, per_token, branch is not None)
            with world.leader_first():
                last, notices = _last(root, identity)
            fresh = last is None
            state: dict[str, Any] = {
                "step": first, "seconds": 0.0, "step_seconds": 0.0, "tokens": 0, "resumed_from": [], "notices": [],
            }  # fmt: skip
            if last is not None:
                state |= last.state
                if state["threads"] != torch.get_num_threads():
                    notices.append(
                        f"{state['threads']} threads before, {torch.get_num_threads()} now: not equal to the bit"
                    )
                state["resumed_from"] = [*state["resumed_from"], *([] if again else [state["step"]])]
            elif branch:
                last = saved.load(branch.root, branch.step)
            if last is not None:
                restore(setup, watching, last)
            if setup.predictor.full:
                notices.append("a head of an unknown kind: logits are computed at every position (slower, more memory)")
            notices = [notice for notice in notices if notice not in state["notices"]]
            state.update(identity=identity, threads=torch.get_num_threads(), notices=[*state["notices"], *notices])
            for notice in notices:
                say(state["step"], end, {"notice": notice})
            done = loop(setup, watching, state, end, folder, say, fresh)
            watching.close()
            if done:
                break
            again = True
        if not world.leads and setup.shards is None:
            return {}
        exported = _take_best(setup, watching, state, root, say)

        parameters = sum(p.numel() for p in setup.model.parameters())
        trained = sum(p.numel() for p in setup.trained.values())
        partial = folder / ".partial-model"
        with watching.exported():
            model = setup.whole_model()
            if not world.leads:
                return {}
            with saved.whole_or_nothing(partial, 4 * parameters):
                save_plain(setup.tuning.finish(model), tokenizer_dir, partial)
                for file in partial.iterdir():
                    saved.sync(file)
                move_into_place(partial, folder / "model")
        adapters = {file.name: file.stat().st_size for file in sorted((folder / "model").glob("adapter-*.safetensors"))}
        if adapters:
            notice = f"plain transformers loads model/ without what lies beside it: {', '.join(adapters)}"
            state["notices"].append(notice)
            say(end, end, {"notice": notice})
        corpora = seen(setup.stream, state["tokens"])
        per_token = sum(c["characters"] for c in corpora.values()) / max(1, sum(c["tokens"] for c in corpora.values()))
        characters = round(state["tokens"] * per_token)
        keys = ("seconds", "step_seconds", "tokens", "loss", "resumed_from", "notices", "threads")
        facts = {
            "steps": state["step"] - first,
            "exported_step": exported,
            **{key: state.get(key) for key in keys},
            "characters": characters,
            "tokens_per_second": state["tokens"] / max(state["step_seconds"], 1e-9),
            "characters_per_second": characters / max(state["step_seconds"], 1e-9),
            "epochs": corpora[TEXT]["epochs"],
            "corpora": corpora,
            "parameters": parameters,
            "trained_parameters": trained,
            "adapters": adapters,
            "precision": "bf16" if setup.bf16 else "fp32",
            "processes": world.size,
            "sharding": options.sharding,
            "device": str(setup.device),
            "objective": setup.objective.name,
            "new_head": setup.new_head,
            **watching.summary(),
        }
        write_json(folder / "finished.json", {"identity": identity, "facts": facts})
        return facts


def _last(root: Path, identity: str) -> tuple[saved.Checkpoint | None, list[str]]:
    """Read the checkpoint to go on from, and say what had to be passed over; those of another training go away."""
    last, notices = saved.load_last(root)
    if last is not None and last.state["identity"] != identity:
        notices.append("the checkpoints that were there are of other settings or another text: started afresh")
        shutil.rmtree(root, ignore_errors=True)
        return None, notices
    return last, notices


def _take_best(setup: Setup, watching: Watching, state: dict[str, Any], root: Path, say: Progress) -> int:
    """Bring back the weights of the step that watchers want exported, and say which it is."""
    wanted, done = watching.export_step, int(state["step"])
    if wanted is None or wanted == done:
        return done
    try:
        take_weights(setup, watching, saved.load(root, wanted))
    except InputError as error:
        state["notices"].append(f"the last weights are exported, for want of those of step {wanted}: {error}")
        say(done, done, {"notice": state["notices"][-1]})
        return done
    return wanted


def _identity(
    model_dir: Path,
    tokenizer_dir: Path,
    texts: dict[str, Path],
    options: Pretrain,
    steps: int,
    seed: int,
    branch: Branch | None,
) -> str:
    """Fingerprint of everything that the final weights depend on, threads and processor excepted."""
    dump = options.model_dump(mode="json", exclude={*BUDGETS, "checkpoint_seconds"})
    files = [
        *sorted(model_dir.glob("*.safetensors")),
        model_dir / "config.json",
        tokenizer_dir / "tokenizer.json",
    ]
    sums = {str(number): digest(file) for number, file in enumerate(files) if file.is_file()}
    sums |= {name: digest(file) for name, file in texts.items()}
    parts: dict[str, Any] = {"files": sums, "options": dump, "steps": steps, "seed": seed}
    if branch:
        state = saved.load(branch.root, branch.step).state
        parts["branch"] = {"of": state["identity"], "step": branch.step, "steps": branch.steps}
    return digest_of(parts)
