"""Share of the machine's matrix throughput that training reaches: the step's matrix products, against them alone.

The floating-point operations of a step are counted as usual (Chowdhery et al. 2022, PaLM, appendix B): of a weight
matrix 2 a token and element forwards, as many for the gradient of what it reads, and as many for its own where it is
trained; attention over a row; the decoder at predicted positions only; nothing for what is computed twice to save
memory, nothing for padding. What the machine can do is measured with plain products of the same shapes and precision.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapt.pretrain.step import Setup

SECONDS = 0.1  # of products for each shape, at most about
COLUMNS = 8192  # of the decoder are multiplied at once, as in adapt/pretrain/loss.py


@dataclass(frozen=True)
class Throughput:
    """What a step's products cost and what the machine makes of them.

    Attributes:
        per_token: operations of the body a token, by the shape (inputs, outputs) of the product.
        attention: operations of attention a token.
        per_predicted: operations of the decoder a predicted token.
        rates: operations a second, by shape; that of the decoder under its own.
        decoder: the decoder's shape.
    """

    per_token: dict[tuple[int, int], float]
    attention: float
    per_predicted: float
    rates: dict[tuple[int, int], float]
    decoder: tuple[int, int]

    @classmethod
    def measure(cls, setup: Setup, tokens: int, predicted: int) -> Throughput:
        """Count the operations of a model and time products of its shapes; takes some tenths of a second.

        Args:
            setup: the training.
            tokens: of a step.
            predicted: tokens that a step predicts.
        """
        import torch

        tokens, per_token = max(1, tokens), _products(setup)
        config = setup.model.config
        sequence = setup.options.sequence_length
        attention = 12.0 * sequence * config.hidden_size * config.num_hidden_layers
        weight = setup.model.get_output_embeddings().weight
        columns, width = weight.shape
        at_once = min(tokens, setup.options.micro_batch_tokens or tokens)
        dtype = torch.bfloat16 if setup.bf16 else torch.float32
        rates = {shape: _rate(at_once, *shape, dtype, setup.device) for shape in per_token}
        decoder = (width, min(columns, COLUMNS))
        rates[decoder] = _rate(max(1, predicted * at_once // tokens), *decoder, dtype, setup.device)
        times = 6.0 if weight.requires_grad else 4.0
        return cls(per_token, attention, times * columns * width, rates, decoder)

    def operations(self, tokens: int, predicted: int) -> float:
        """Floating-point operations of a step."""
        return tokens * (sum(self.per_token.values()) + self.attention) + predicted * self.per_predicted

    def seconds(self, tokens: int, predicted: int) -> float:
        """Seconds that the step's products would take alone; those of attention at the body's mean rate."""
        body = sum(count / self.rates[shape] for shape, count in self.per_token.items())
        attention = self.attention * body / sum(self.per_token.values())
        return tokens * (body + attention) + predicted * self.per_predicted / self.rates[self.decoder]

    def share(self, tokens: int, predicted: int, seconds: float) -> float:
        """Share of the machine's matrix throughput that a step of so many seconds reached.

        Args:
            tokens: of the step, padding not counted; with several processes those of one.
            predicted: tokens that it predicted, likewise.
            seconds: that it took.
        """
        return self.seconds(tokens, predicted) / seconds


def _products(setup: Setup) -> dict[tuple[int, int], float]:
    """Operations a token of each shape (inputs, outputs) of the body's products, seen in a forward pass of one row."""
    import torch

    found: dict[tuple[int, int], float] = defaultdict(float)
    length = 8

    def note(module: Any, given: Any, result: Any) -> None:
        inputs, outputs = given[0].shape[-1], result.shape[-1]
        rows = given[0].numel() / inputs / length
        found[inputs, outputs] += rows * inputs * outputs * (6 if module.weight.requires_grad else 4)

    modules = [
        module
        for module in setup.model.base_model.modules()
        if not isinstance(module, torch.nn.Embedding) and getattr(getattr(module, "weight", None), "ndim", 0) == 2
    ]
    hooks = [module.register_forward_hook(note) for module in modules]
    training = setup.model.training
    setup.model.eval()
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            setup.run(setup.predictor.hidden, torch.full((1, length), 5, device=setup.device), None)
    finally:
        setup.model.train(training)
        for hook in hooks:
            hook.remove()
    return dict(found)


def _rate(rows: int, inputs: int, outputs: int, dtype: Any, device: Any) -> float:
    """Operations a second of the fastest of some products (rows, inputs) x (inputs, outputs)."""
    import torch

    left, right = (torch.ones(shape, dtype=dtype, device=device) for shape in ((rows, inputs), (outputs, inputs)))
    began, fastest = time.perf_counter(), float("inf")
    for _ in range(100):
        start = time.perf_counter()
        left @ right.T
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        fastest = min(fastest, time.perf_counter() - start)
        if time.perf_counter() - began > SECONDS:
            break
    return 2.0 * rows * inputs * outputs / max(fastest, 1e-9)
