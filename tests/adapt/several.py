"""What several processes do together in the tests: imported by each of them, so it imports little itself."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from adapt.config import Evaluate
from adapt.pretrain.distributed import World, by_all
from adapt.pretrain.options import Pretrain
from lexigraft import InputError

SENTENCES = [["walk"], ["house", "water", "tree"], [], ["mama", "kuda", "wato", "land", "king"], ["good"] * 70]


@by_all
def together(options: Pretrain, what: str, folder: Path, progress: Any = None) -> dict[str, Any]:
    """One of the things that processes do."""
    import torch

    world = World.here()
    if progress:
        progress(world.rank, world.size, {"what": what})
    if what == "sum":
        a, b, c = (torch.nn.Parameter(torch.zeros(3)) for _ in range(3))
        a.grad = torch.full((3,), float(1 + world.rank))
        b.grad = torch.ones(3) if world.rank else None
        world.add_gradients([a, b, c])
        (folder / f"threads-{world.rank}").write_text(str(torch.get_num_threads()))
        sys.stdout.write("this must not reach whoever started us\n")
        world.wait()
        return {"a": a.grad.tolist(), "b": b.grad.tolist(), "c": c.grad, "total": world.totals([world.rank + 0.5])}
    if what == "refuse" and world.rank == 1:
        raise InputError("the second process does not like it", found=what)
    if what == "die" and world.rank == 1:
        sys.stderr.write("something went badly wrong\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "sleep":
        (folder / f"pid-{world.rank}").write_text(str(os.getpid()))
        time.sleep(600)
    world.wait()  # of those that are left: for ever, were they not ended
    return {}


@by_all
def gradients(options: Pretrain, sources: list[Path], text: Path, folder: Path) -> list[list[float]]:
    """Train on each source for a few steps; saves the first step's gradient, the last weights, and the bytes held."""
    import numpy as np
    import torch
    from safetensors.torch import save_file

    from adapt.pretrain.sharding import own_part, whole
    from adapt.pretrain.step import accumulate, train_step
    from tests.adapt.pretraining import setup_on

    found = []
    folder.mkdir(exist_ok=True)
    for number, source in enumerate(sources):
        setup = setup_on(source, text, folder / f"tokens-{World.here().rank}-{number}", options)
        batch = setup.objective.batch(
            setup.stream.take(32), setup.symbols, setup.objective_options, np.random.default_rng(0)
        )
        losses = [accumulate(setup, batch)]
        leads = World.here().leads
        graded = {name: p.grad for name, p in setup.trained.items() if p.grad is not None}
        state = {f"gradient.{name}": whole(gradient.clone(), leads) for name, gradient in graded.items()}
        losses += [train_step(setup, step)["loss"] for step in range(5)]
        state |= {f"weight.{name}": whole(p.detach(), leads).clone() for name, p in setup.trained.items()}
        moments = [part for each in setup.optimizer.state.values() for part in each.values() if part.ndim]
        held = sum(own_part(t).nbytes for t in (*setup.trained.values(), *graded.values(), *moments))
        state |= {"losses": torch.tensor(losses), "held": torch.tensor(held)}
        save_file(state, folder / f"{number}-rank-{World.here().rank}.safetensors")
        found.append(losses)
    World.here().wait()
    return found


@by_all
def fine_tuning_gradients(options: Evaluate, source: Path, folder: Path) -> None:
    """Loss and gradient of one step of fine-tuning, whole and in parts of two, by task; rank 0 saves them."""
    import torch
    from safetensors.torch import save_file

    from adapt.evaluate import features, finetune

    features.fast, finetune.DROPOUT = (lambda: False), 0.0
    world, cutter, body = World.here(), features.Cutter(source), features.load_body(source)
    folder.mkdir(exist_ok=True)
    for task, at_once in ((task, parts) for task in ("tokens", "sequences") for parts in (None, 2)):
        tagged = task == "tokens"
        cuts = cutter.words(SENTENCES) if tagged else cutter.texts([" ".join(words) for words in SENTENCES])
        targets = [[k % 3 for k in range(len(words))] if tagged else [n % 3] for n, words in enumerate(SENTENCES)]
        torch.manual_seed(0)
        head = torch.nn.Linear(body.config.hidden_size, 3)
        body.zero_grad()
        loss = finetune.accumulate(body, head, cutter, cuts, targets, tagged=tagged, at_once=at_once, world=world)
        world.add_gradients([*body.parameters(), *head.parameters()])
        named = [*body.named_parameters(), *head.named_parameters("head")]
        state = {name: p.grad for name, p in named if p.grad is not None}
        if world.leads:
            save_file({**state, "loss": torch.tensor(loss)}, folder / f"{task}-{at_once}.safetensors")
