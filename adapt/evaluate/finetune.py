"""Fine-tuning: the whole model and a linear head, our own small loop, one seed at a time.

The loss of a step is the sum over its labelled words (or texts) divided by their number, whatever the padding. The
epoch that is best on dev is kept. A seed depends on nothing but the model, the data and the seed, so one that is cut
short is done again from its start and gives the same scores; one that is finished is taken as it is. Bodies are large:
only the seed that is best on dev keeps its own (`seed-N/body`), for `lexigraft predict`.

Several processes (`evaluate.processes`) share each step's sentences, and those of dev and test; their gradients are
summed, so that loss and gradient are those of one process (adapt/pretrain/distributed.py). The first alone writes.

With `task_adapter` the body stays as it is, adapters of its language included, and an adapter named after the task is
trained over them with the head (Pfeiffer et al. 2020, MAD-X, section 2.2.2; published learning rate 1e-4).

Few examples: three epochs of a hundred are twenty updates, in which a model learns nothing (NER F1 0.0, where a CRF has
73.5). What looks like bad luck of fine-tuning is too few updates (Mosbach et al. 2021, "On the Stability of Fine-tuning
BERT", section 6; Zhang et al. 2021, "Revisiting Few-sample BERT Fine-tuning", section 6), so there are at least
`min_updates`. Layers may learn at rates that fall towards the embeddings (`layer_decay`: Howard & Ruder 2018, section
3.1; Sun et al. 2019, section 5.3: 0.95), and the top ones begin anew (`reinit_layers`: Zhang et al. 2021, section 5).

Recipe: AdamW, linear warm-up over a tenth of the steps and decay to nothing, weight decay 0.01, gradient norm 1, 16
sentences a step (Devlin et al. 2019, section 4; Mosbach et al. 2021 on why the warm-up and more than one seed matter).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapt.evaluate import features, heads, labelled
from adapt.evaluate.data import Data, Kind, load
from adapt.evaluate.job import Job, is_done
from adapt.pretrain.distributed import World
from adapt.pretrain.optimizer import rate_factors
from adapt.tuning.adapters import attach, save_tuned
from adapt.tuning.top_layers import top_layers
from adapt.tuning.tuning import train_only, without_adapters

if TYPE_CHECKING:
    import torch

ALONE = World()
BATCH, WARMUP, WEIGHT_DECAY, CLIP, DROPOUT = 16, 0.1, 0.01, 1.0, 0.1
LOOK = 32  # sentences that are looked at together
LOOKS = 10  # looks at dev where epochs are many and small
TASK_REDUCTION = 16  # width of the states divided by that of a task's adapter, as for languages


def run(job: Job, kind: Kind) -> None:
    """Fine-tune and score every seed that is not done yet, in as many processes as `shared.processes` says.

    Args:
        job: what to measure and where to write; `shared.epochs` and `shared.lr` are the recipe's.
        kind: `pos`, `ner` or `classes`.
    """
    from adapt.fine_tuning import fine_tune

    files = job.options.model_dump(mode="json")
    fine_tune(job.shared, job.arm, job.task, kind, *job.folders(), files, job.out, job.seed, progress=job.progress)


def run_seeds(job: Job, kind: Kind) -> None:
    """Do one process's part of `run`."""
    data, world = load(job, kind), World.here()
    job.out.mkdir(parents=True, exist_ok=True)
    epochs = epochs_of(job.shared, len(data.train))
    small = {"layer_decay": job.shared.layer_decay, "reinit": job.shared.reinit_layers}
    settings = [epochs, job.shared.lr, *(["task adapter"] if _task_adapter(job) else [])]
    settings += [small] if small != {"layer_decay": 1.0, "reinit": 0} else []
    settings += [f"{world.size} processes"] if world.size > 1 else []
    fingerprint = labelled.fingerprint_of(job, data, *settings)
    seeds = list(job.shared.seeds)
    done = [is_done(job.out / f"seed-{each}", fingerprint) for each in seeds]
    world.wait()  # until all have looked at what was there
    for n, each in enumerate(seeds):
        if not done[n]:
            _seed(job, data, each, fingerprint, n, world)
        if world.leads:
            keep_best_body(job.out)
    job.tell(1.0)


def epochs_of(shared: Any, examples: int) -> int:
    """Epochs of fine-tuning: those asked for, or as many as give `min_updates`."""
    return max(shared.epochs, -(-shared.min_updates // -(-examples // BATCH)))


def looks_of(shared: Any, epochs: int) -> range:
    """Epochs after which dev is looked at, the last among them: all that were asked for, ten or so where more came."""
    return range(epochs, 0, -epochs // max(shared.epochs, LOOKS))


def _task_adapter(job: Job) -> bool:
    return bool(getattr(job.shared, "task_adapter", False))


def keep_best_body(out: Path) -> None:
    """Delete the bodies of all seeds but the one that is best on dev."""
    bodies = sorted(path.parent for path in out.glob("seed-*/body"))
    dev = {f: json.loads((f / "head.json").read_text(encoding="utf-8"))["dev"] for f in bodies}
    for folder in bodies:
        if folder != max(bodies, key=lambda f: dev[f]):
            shutil.rmtree(folder / "body")


def _seed(job: Job, data: Data, seed: int, fingerprint: str, n: int, world: World) -> None:
    import torch

    total = len(job.shared.seeds)
    model, tokenizer = job.folders()
    body, cutter = features.load_body(model), features.Cutter(tokenizer)
    torch.manual_seed(seed + (world.rank << 48))  # dropout
    head = _new_head(body.config.hidden_size, data, seed).to(body.device)
    long_texts = job.shared.long_texts
    cuts = {name: labelled.cuts_of(cutter, data, split, body, long_texts) for name, split in _splits(data).items()}
    score = labelled.scorer(data)
    targets = _targets(data)
    rng = np.random.default_rng([seed, 5])
    epochs = epochs_of(job.shared, len(data.train))
    steps = epochs * -(-len(data.train) // BATCH)
    if job.shared.reinit_layers:
        draw_anew(body, job.shared.reinit_layers, seed)
    moving = list(body.parameters())
    if _task_adapter(job):
        moving = attach(body, job.task, TASK_REDUCTION, seed=seed)
        train_only(body, moving)
    learning = [*moving, *head.parameters()]
    optimiser = torch.optim.AdamW(_groups(body, moving, head, job.shared.layer_decay), lr=job.shared.lr)
    done, best = 0, (-1.0, 0)
    kept: list[dict[str, Any]] | None = None
    shown: dict[str, float] = {}
    looks = looks_of(job.shared, epochs)
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(data.train))
        body.train()
        for at in range(0, len(order), BATCH):
            rate = job.shared.lr * _rate(done, steps)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["factor"]
            chosen = order[at : at + BATCH]
            optimiser.zero_grad(set_to_none=True)
            now = [cuts["train"][i] for i in chosen], [targets[i] for i in chosen]
            at_once = job.shared.micro_batch
            loss = accumulate(body, head, cutter, *now, tagged=data.tagged, at_once=at_once, world=world)
            if loss is not None:
                world.add_gradients(learning)
                torch.nn.utils.clip_grad_norm_(learning, CLIP)
                optimiser.step()
                shown["loss"] = loss
            done += 1
            job.tell((n + 0.95 * done / steps) / total, step=f"fine-tuning seed {seed}", **shown)
        if epoch not in looks:
            continue
        body.eval()
        found = score(_log_probabilities(body, head, cutter, cuts["dev"], data, world))
        if found > best[0]:
            best = (found, epoch)
            kept = [{k: v.detach().clone() for k, v in m.state_dict().items()} for m in (body, head)]
    if kept is not None:
        body.load_state_dict(kept[0])
        head.load_state_dict(kept[1])
    scores = _log_probabilities(body, head, cutter, cuts["test"], data, world)
    if not world.leads:
        return
    predicted = heads.decode(scores, labelled.lengths_of(data, data.test), data.labels, data.kind)
    facts = {"kind": data.kind, "layers": "last", "mode": "finetune", "dev": best[0], "epoch": best[1],
             "epochs": epochs, "long_texts": long_texts}  # fmt: skip
    head.cpu()
    saved = heads.Head(head.weight.detach().numpy().T.copy(), head.bias.detach().numpy().copy(), data.labels, facts)

    def fill(folder: Path) -> None:
        saved.save(folder)
        save_tuned(body, folder / "body")

    labelled.finish(
        job,
        data,
        seed,
        predicted,
        fingerprint,
        facts={"dev_score": best[0], "epoch": best[1], **_missing(cuts["test"])},
        fill=fill,
    )


def draw_anew(body: Any, layers: int, seed: int) -> None:
    """Begin the top layers as an untrained model does: matrices drawn, norms 1, biases 0.

    Raises:
        InputError: the model has fewer layers, or layers that share their weights.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    spread = getattr(body.config, "initializer_range", 0.02)
    with torch.no_grad():
        for layer in top_layers(body, layers)[0]:
            for name, parameter in without_adapters(layer).items():
                if parameter.ndim > 1:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
                else:
                    parameter.fill_(0.0 if name.endswith("bias") else 1.0)


def _groups(body: Any, moving: list[Any], head: Any, layer_decay: float) -> list[dict[str, Any]]:
    """Group what is trained by the factor on its rate; biases, norms and scales do not decay."""
    chosen = {id(p) for p in moving}
    trained = {name: p for name, p in body.named_parameters() if id(p) in chosen}
    lowest = layer_decay**body.config.num_hidden_layers
    factors = rate_factors(body, list(trained), embeddings=lowest, layer_decay=layer_decay)
    found = [(trained[name], factor) for name, (_, factor) in factors.items()]
    groups: dict[tuple[float, bool], list[Any]] = {}
    for parameter, factor in [*found, (head.weight, 1.0), (head.bias, 1.0)]:
        groups.setdefault((factor, parameter.ndim > 1), []).append(parameter)
    return [{"params": parameters, "factor": factor, "weight_decay": WEIGHT_DECAY if decays else 0.0}
            for (factor, decays), parameters in groups.items()]  # fmt: skip


def _splits(data: Data) -> dict[str, Any]:
    return {"train": data.train, "dev": data.dev, "test": data.test}


def _missing(cuts: Sequence[features.Cut]) -> dict[str, int]:
    first = [p for cut in cuts for p in cut.first]
    return {
        "words_without_piece": sum(p < 0 for p in first),
        "words": len(first),
        "empty_items": sum(not c.ids for c in cuts),
    }


def _new_head(dim: int, data: Data, seed: int) -> torch.nn.Linear:
    import torch

    head = torch.nn.Linear(dim, len(data.labels))
    torch.nn.init.normal_(head.weight, std=0.02, generator=torch.Generator().manual_seed(seed))
    torch.nn.init.zeros_(head.bias)
    return head


def _targets(data: Data) -> list[list[int]]:
    rows = data.train["labels"][:]
    return [list(row) for row in rows] if data.tagged else [[label] for label in rows]


def _rate(done: int, steps: int) -> float:
    warm = max(1, round(WARMUP * steps))
    return (done + 1) / warm if done < warm else max(0.0, (steps - done) / max(1, steps - warm))


def accumulate(
    body: Any,
    head: torch.nn.Linear,
    cutter: features.Cutter,
    cuts: Sequence[features.Cut],
    targets: Sequence[Sequence[int]],
    *,
    tagged: bool,
    at_once: int | None,
    world: World = ALONE,
) -> float | None:
    """Add the gradient of a step, part by part, and return its loss: the mean over all its labelled words or texts.

    Of several processes each adds the gradient of its own sentences; their sum is the step's.

    Args:
        body: the model without head.
        head: the head.
        cutter: the tokenizer.
        cuts: the step's sentences.
        targets: for each the labels of its words, or its label.
        tagged: whether words are labelled.
        at_once: sentences that go through the model at once; None: all. The cut changes neither loss nor gradient.
        world: the processes that share the step's sentences.

    Returns:
        Nats a label; None when no word has a piece.
    """
    import torch

    labels = sum(sum(p >= 0 for p in cut.first) if tagged else bool(cut.ids) for cut in cuts)
    if not labels:
        return None
    losses = []
    begin, end = world.share(len(cuts))
    size = at_once or len(cuts)
    for first in range(begin, end, size):
        part = slice(first, min(first + size, end))
        states, owners = _states(body, cutter, cuts[part], pool=not tagged)
        if owners:
            wanted = torch.tensor([targets[part][i][k] for i, k in owners], dtype=torch.long, device=body.device)
            states = torch.nn.functional.dropout(states, DROPOUT)
            loss = torch.nn.functional.cross_entropy(head(states), wanted, reduction="sum") / labels
            loss.backward()
            losses.append(loss.detach())
    return world.totals([sum(map(float, losses))])[0]


def _states(
    body: Any, cutter: features.Cutter, cuts: Sequence[features.Cut], *, pool: bool
) -> tuple[torch.Tensor, list[tuple[int, int]]]:
    """Last-layer states of first pieces (or mean-pooled texts), and which (item, word) each belongs to."""
    import torch

    from adapt.pretrain.device import autocast

    room = features.room_of(body.config, len(cutter.prefix) + len(cutter.suffix))
    plan = [w for w in features.windows(cuts, room) if w.end > w.start]
    if not plan:
        return torch.zeros(0, body.config.hidden_size, device=body.device), []
    ids, mask = features.tensors(plan, cuts, cutter, body.device)
    with autocast(features.fast()):
        hidden = body(input_ids=ids, attention_mask=mask)[0].float()
    found: list[torch.Tensor] = []
    owners: list[tuple[int, int]] = []
    if pool:
        sums: dict[int, torch.Tensor] = {}
        for row, w in zip(hidden, plan, strict=True):
            shift = len(cutter.prefix) - w.start
            part = row[w.keep[0] + shift : w.keep[1] + shift].sum(0)
            sums[w.sentence] = sums[w.sentence] + part if w.sentence in sums else part
        owners = [(i, 0) for i in sums]
        found = [sums[i] / len(cuts[i].ids) for i in sums]
        return torch.stack(found), owners
    for row, w in zip(hidden, plan, strict=True):
        shift = len(cutter.prefix) - w.start
        at = [(k, p) for k, p in enumerate(cuts[w.sentence].first) if w.keep[0] <= p < w.keep[1]]
        found.append(row[[p + shift for _, p in at]])
        owners += [(w.sentence, k) for k, _ in at]
    return torch.cat(found), owners


def _log_probabilities(
    body: Any, head: torch.nn.Linear, cutter: features.Cutter, cuts: Sequence[features.Cut], data: Data, world: World
) -> np.ndarray:
    """Log-probabilities of all items or words, (n, labels); what has no piece gets the head's bias."""
    import torch

    starts = np.cumsum([0] + [len(c.first) if data.tagged else 1 for c in cuts])
    out = np.zeros((int(starts[-1]), head.out_features + 1))  # with whether it was seen
    order = sorted(range(len(cuts)), key=lambda i: -len(cuts[i].ids))
    with torch.inference_mode():
        for at in range(LOOK * world.rank, len(order), LOOK * world.size):
            chosen = order[at : at + LOOK]
            states, owners = _states(body, cutter, [cuts[i] for i in chosen], pool=not data.tagged)
            if owners:
                rows = [int(starts[chosen[i]]) + k for i, k in owners]
                out[rows, :-1], out[rows, -1] = head(states).cpu().numpy(), 1
    if world.size > 1:
        out = np.array(world.totals(out.ravel().tolist())).reshape(out.shape)
    seen, logits = out[:, -1] > 0, out[:, :-1].astype(np.float32)
    logits[~seen] = head.bias.detach().cpu().numpy()
    return heads.log_softmax(logits)
