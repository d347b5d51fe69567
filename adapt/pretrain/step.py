"""One optimiser step: what it needs, its loss and its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adapt.pretrain.attention import use_plain_products
from adapt.pretrain.data import Blocks, Stream
from adapt.pretrain.device import autocast, device, moved, wants_bf16
from adapt.pretrain.distributed import World
from adapt.pretrain.documents import DocumentAttention
from adapt.pretrain.gradients import added_in_place, clear, clip, vocabulary_matrices
from adapt.pretrain.mixing import TEXT, MixedStream, mixed
from adapt.pretrain.model import load_with_head, objective_of, recompute, set_dropout, unigram_bias
from adapt.pretrain.objectives.objective import OBJECTIVES, Batch, Objective
from adapt.pretrain.optimizer import by_rows, make_optimizer, set_rates
from adapt.pretrain.options import Pretrain
from adapt.pretrain.schedule import rate_share
from adapt.pretrain.selective import reference_for, select
from adapt.pretrain.tokens import Symbols, TokenFile
from adapt.pretrain.triples import Tailed, predict_tails
from adapt.tuning.tuning import TUNINGS, Tuning
from lexigraft import InputError
from vocab.head import Predictor, longest_row

if TYPE_CHECKING:
    import torch

    from adapt.pretrain.distil import Teacher
    from adapt.pretrain.sharding import Shards
    from adapt.pretrain.word_states import Pairs, WordTeacher
    from vocab.head import Attention

CLIP = 1.0  # largest gradient norm


@dataclass
class Setup:
    """A model ready to be trained, with everything a step needs."""

    model: Any
    predictor: Predictor
    objective: Objective
    objective_options: Any
    tuning: Tuning
    tuning_options: Any
    symbols: Symbols
    stream: Stream | MixedStream
    trained: dict[str, Any]
    optimizer: Any
    options: Pretrain
    steps: int
    seed: int
    new_head: bool
    bf16: bool
    device: torch.device
    world: World
    kept: list[Any]  # parameters whose gradient keeps its memory
    documents: DocumentAttention | None = None
    teacher: Teacher | None = None
    word_teacher: WordTeacher | None = None
    reference: Setup | None = None  # says which tokens count
    shards: Shards | None = None  # holds the model where its tensors are cut between the processes
    lr_scale: float = 1.0  # what watchers make of the rate
    decay: tuple[int, int] | None = None  # of a branch: first step and length of the rate's fall

    @property
    def rows(self) -> int:
        """Blocks of one optimiser step, where they have their final length."""
        return max(1, self.options.batch_tokens // self.options.sequence_length)

    def micro_rows(self, batch: Batch) -> int:
        """Rows of a step's batch that go through the model at once."""
        tokens = self.options.micro_batch_tokens
        return len(batch.inputs) if tokens is None else max(1, tokens // batch.inputs.shape[1])

    def run(self, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """Call a function that computes with the model; where that is cut, all processes must."""
        return function(*args, **more) if self.shards is None else self.shards(function, *args, **more)

    def placed(self, tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Bring a checkpoint's tensor to the device; of what is cut, this process's part, as of the one it is like."""
        if self.shards is None:
            return tensor.to(self.device)
        from adapt.pretrain.sharding import cut_like

        return cut_like(tensor.to(self.device), like)

    def whole_model(self) -> Any:
        """Return the model to be saved; where it is cut, rank 0's is put together, for which all must call this."""
        if self.shards is None:
            return self.model
        from adapt.pretrain.sharding import put_together

        return put_together(self.model, self.world.leads)

    def parts(self, batch: Batch, rows: int) -> Iterator[tuple[int, int, Batch]]:
        """First and last + 1 row of each of this process's parts of a batch, and the part.

        Where the model is cut, every process has as many, the last ones without a token to predict.
        """
        begin, end = self.world.share(len(batch.inputs))
        longest = end - begin if self.shards is None else -(-len(batch.inputs) // self.world.size)
        for first in range(begin, begin + longest, rows):
            last = min(first + rows, end)
            if first < last:
                yield first, last, batch.part(first, last)
            else:
                yield first, first, replace(batch.part(0, 1), rows=batch.rows[:0], columns=batch.columns[:0],
                                            labels=batch.labels[:0])  # fmt: skip

    def take(self, step: int) -> Blocks:
        """Draw a step's blocks."""
        length = length_at(self.options, step / self.steps)
        return self.stream.take(max(1, self.options.batch_tokens // length), length)


def length_at(options: Pretrain, share: float) -> int:
    """Tokens of a sequence after a share of the steps."""
    return next((length for until, length in options.sequence_length_warmup if share < until), options.sequence_length)


def stream_of(tokens: TokenFile, symbols: Symbols, options: Pretrain, seed: int) -> Stream:
    """Open a text's stream of blocks as the options say."""
    return Stream(tokens, symbols, options.sequence_length, seed, packing=options.packing,
                  documents=options.attention == "document")  # fmt: skip


def set_up(
    model_dir: Path, tokenizer_dir: Path, tokens: TokenFile, tokenizer: Any, options: Pretrain, steps: int, seed: int,
    others: Mapping[str, TokenFile] | None = None,
) -> Setup:  # fmt: skip
    """Load the model, give it a head where it has none, choose what is trained, make the optimiser.

    `others` are further corpora, mixed into the text as `options.mix` says.

    Raises:
        InputError: no weights, no mask token, more token ids than embedding rows, unknown objective or tuning.
    """
    objective = OBJECTIVES[options.objective or objective_of(model_dir)]
    objective_options = _options_for(objective, options.objective_options)
    tuning = TUNINGS[options.tuning]
    tuning_options = _options_for(tuning, options.tuning_options)
    symbols = Symbols.of(tokenizer)
    if objective.bidirectional and symbols.mask is None:
        raise InputError(
            "masked language modelling needs a mask token", file=tokenizer_dir, found="a tokenizer without one"
        )
    model, new = load_with_head(model_dir, objective.auto_class)
    rows = model.get_input_embeddings().weight.shape[0]
    if symbols.size > rows:
        raise InputError("the tokenizer has more ids than the model has embeddings", file=tokenizer_dir,
                         found=f"{symbols.size} ids, {rows} rows")  # fmt: skip
    longest = longest_row(model)
    if longest and options.sequence_length > longest:
        raise InputError("sequence_length is more than the model's positions", file=model_dir,
                         found=options.sequence_length, expected=f"at most {longest}")  # fmt: skip
    bias = getattr(objective_options, "head_bias", "keep")
    if bias == "unigram" or (bias == "auto" and new):
        unigram_bias(model, tokens.counts(symbols.size))
    if objective.prepare:
        symbols = objective.prepare(model, tokenizer, tokens, symbols, objective_options)
    set_dropout(model, options.dropout)
    if options.gradient_checkpointing:
        recompute(model, model_dir)
    world = World.here()
    on = device(world.local_rank, world.local_size)
    model = tuning.prepare(model, tuning_options)
    if options.sharding == "none":
        model = model.to(on)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise InputError(f"the tuning {tuning.name!r} leaves nothing to train", file=model_dir)
    world.same(list(trained.values()))
    if not options.compile:
        use_plain_products(model)
    predictor = Predictor.of(model)
    documents = None
    if options.packing and options.attention == "document":
        documents = DocumentAttention.of(predictor, not objective.bidirectional, options.sequence_length, model_dir)
    corpora = {TEXT: tokens, **(others or {})}
    stream = mixed(lambda each: stream_of(each, symbols, options, seed), corpora, options.mix, seed)
    distil, teacher, word_teacher = options.distil, None, None
    before = distil.teacher or model_dir
    if distil.weight and distil.match == "logits":
        from adapt.pretrain.distil import Teacher

        teacher = Teacher.of(before, objective.auto_class, distil, predictor)
    elif distil.weight:
        from adapt.pretrain.word_states import WordTeacher

        words = distil.teacher_tokenizer or distil.teacher or tokenizer_dir
        word_teacher = WordTeacher.of(before, words, objective.auto_class, predictor, tokenizer,
                                      apart=documents is not None, weight=distil.weight)  # fmt: skip
    if options.compile:
        model.base_model.compile(dynamic=True)
    shards = None
    if options.sharding == "full":
        from adapt.pretrain.sharding import Shards

        shards = Shards(model, on, world.size)
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    model.train()
    setup = Setup(
        model=model, predictor=predictor, objective=objective, objective_options=objective_options, tuning=tuning,
        tuning_options=tuning_options, symbols=symbols, stream=stream, trained=trained,
        optimizer=make_optimizer(model, trained, options), options=options, steps=steps, seed=seed, new_head=new,
        bf16=wants_bf16(options.precision, on), device=on, world=world,
        kept=[] if shards else vocabulary_matrices(model, predictor.decoder, by_rows(model, options)),
        documents=documents, shards=shards, teacher=teacher, word_teacher=word_teacher,
    )  # fmt: skip
    if options.selective.reference is not None:
        setup.reference = reference_for(setup, options.selective.reference, tokenizer_dir)
    return setup


def _options_for(spec: Any, given: Any) -> Any:
    """Find the options of one registry entry among those of a run."""
    return getattr(given, spec.name.replace("-", "_"))


def attention_of(setup: Setup, batch: Batch | Blocks) -> tuple[Attention, torch.Tensor | None]:
    """Make what tells the model who attends to whom, and its position ids where they begin anew."""
    if setup.documents is not None and batch.documents.max() > 1:
        return setup.documents.inputs(moved(batch.documents, setup.device))
    return None if batch.attention.all() else moved(batch.attention, setup.device).long(), None


def forward(setup: Setup, batch: Batch, teacher: Teacher | None = None, *, each: bool = False) -> torch.Tensor:
    """Sum of nats over a batch's predicted tokens, with those of the divergence from a teacher where there is one.

    With `each` the nats of each token, without a teacher.
    """
    return setup.run(_forward, setup, batch, teacher, each)


def _forward(setup: Setup, batch: Batch, teacher: Teacher | None, each: bool) -> torch.Tensor:
    from torch.nn.functional import cross_entropy

    from adapt.pretrain.loss import token_cross_entropy

    flat = moved(batch.rows * batch.inputs.shape[1] + batch.columns, setup.device)
    attention, positions = attention_of(setup, batch)
    with autocast(setup.bf16, setup.device):
        inputs = moved(batch.inputs, setup.device), attention, flat, positions
        gathered = setup.predictor.gathered(*inputs)
        labels = moved(batch.labels, setup.device)
        decoder = setup.predictor.decoder
        if setup.predictor.full:
            losses = cross_entropy(gathered.float(), labels, reduction="none")
        else:
            into = decoder.weight.grad if any(decoder.weight is kept for kept in setup.kept) else None
            losses = token_cross_entropy(gathered, decoder.weight, decoder.bias, labels, into)
        if each:
            return losses
        return losses.sum() if teacher is None else losses.sum() + teacher.loss_sum(gathered, decoder, inputs)


def accumulate(setup: Setup, batch: Batch, pairs: Pairs | None = None) -> float:
    """Add the gradient of a whole step and return its loss in nats a predicted token.

    The step's rows are cut between the processes, and those of each into micro-batches. The nats of every part are
    divided by the predicted tokens of the whole step: the cut changes neither loss nor gradient. So it is with `pairs`,
    the words whose states are compared with the model before, and their number.
    """
    predicted = max(1, len(batch.labels))
    losses = []
    with added_in_place(setup.model, setup.kept, by_rows(setup.model, setup.options)):
        for first, last, part in setup.parts(batch, setup.micro_rows(batch)):
            if len(part.labels) or setup.shards:
                losses.append(_backward(forward(setup, part, setup.teacher) / predicted))
            if pairs is not None and setup.word_teacher is not None and len(words := pairs.part(first, last)):
                losses.append(_backward(setup.word_teacher.loss_sum(setup, words) / len(pairs)))
    if setup.shards is None:
        setup.world.add_gradients([p for p in setup.trained.values() if p.requires_grad])
    return setup.world.totals([sum(map(float, losses))])[0]


def _backward(loss: torch.Tensor) -> torch.Tensor:
    loss.backward()
    return loss.detach()


def train_step(setup: Setup, step: int) -> dict[str, Any]:
    """One optimiser step.

    Returns:
        loss (nats a predicted token), predicted, tokens (padding not counted), lr, lrs (of each group), grad_norm.
    """
    import torch

    options = setup.options
    rate = options.lr * setup.lr_scale * rate_share(options, step, setup.steps, setup.decay)
    rates = set_rates(setup.optimizer, rate)
    if setup.tuning.at_step:
        setup.tuning.at_step(setup.model, setup.tuning_options, step / setup.steps)
    blocks = setup.take(step)
    generator = np.random.default_rng([setup.seed, 3, step])
    batch = setup.objective.batch(blocks, setup.symbols, setup.objective_options, generator)
    if isinstance(blocks, Tailed):
        batch = predict_tails(batch, blocks, setup.symbols, bidirectional=setup.objective.bidirectional)
    if setup.reference is not None:
        batch = select(setup, setup.reference, batch, options.selective.share)
    torch.manual_seed((setup.seed * 1_000_003 + step + (setup.world.rank << 48)) % (1 << 63))  # dropout
    clear(setup.optimizer, setup.kept)
    pairs = setup.word_teacher.pairs(blocks) if setup.word_teacher is not None else None
    loss = accumulate(setup, batch, pairs)
    norm = clip(setup.trained.values(), CLIP, setup.world if setup.shards else None)
    if math.isfinite(loss) and math.isfinite(norm):
        setup.optimizer.step()
    return {"loss": loss, "predicted": len(batch.labels), "tokens": int(batch.attention.sum()), "lr": rate,
            "lrs": rates, "grad_norm": norm}  # fmt: skip


def heldout_loss(setup: Setup, batch: Batch) -> float:
    """Loss in nats a predicted token on a fixed batch, dropout off, nothing drawn."""
    import torch

    setup.model.eval()
    with torch.no_grad():
        total = 0.0
        for _, _, part in setup.parts(batch, 8):
            total += float(forward(setup, part)) if len(part.labels) or setup.shards else 0.0
    setup.model.train()
    return setup.world.totals([total])[0] / max(1, len(batch.labels))
