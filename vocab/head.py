"""A language model taken apart: body, head transform, decoder; so that the decoder runs where it is needed only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    Attention = torch.Tensor | dict[str, torch.Tensor] | None


def head_parts(model: Any) -> tuple[list[Any], Any]:
    """Find the modules between body and decoder, in order, and the decoder; none where the head is not known."""
    from torch import nn

    gelu = nn.GELU()
    decoder = model.get_output_embeddings()
    if hasattr(model, "cls") and hasattr(getattr(model.cls, "predictions", None), "transform"):  # BERT and its kin
        return [model.cls.predictions.transform.dense, model.cls.predictions.transform.transform_act_fn,
                model.cls.predictions.transform.LayerNorm], decoder  # fmt: skip
    if hasattr(model, "lm_head") and hasattr(model.lm_head, "layer_norm"):  # RoBERTa, XLM-R, CamemBERT
        return [model.lm_head.dense, gelu, model.lm_head.layer_norm], decoder
    if hasattr(model, "vocab_transform"):  # DistilBERT
        return [model.vocab_transform, model.activation, model.vocab_layer_norm], decoder
    if hasattr(model, "predictions") and hasattr(model.predictions, "LayerNorm"):  # ALBERT
        return [model.predictions.dense, model.predictions.activation, model.predictions.LayerNorm], decoder
    if hasattr(model, "generator_predictions"):  # ELECTRA
        return [model.generator_predictions], decoder
    if hasattr(model, "head") and hasattr(model.head, "dense"):  # ModernBERT
        return [model.head], decoder
    return [], decoder


def longest_row(model: Any) -> int | None:
    """Tokens that a row can have; None when the configuration does not say. RoBERTa's first positions are padding's."""
    positions = getattr(model.config, "max_position_embeddings", None)
    places = (module for name, module in model.named_modules() if name.endswith("position_embeddings"))
    padding = next((getattr(module, "padding_idx", None) for module in places), None)
    return positions if positions is None or padding is None else positions - padding - 1


@dataclass
class Predictor:
    """A model as the trainer and the scorer see it: body, transform, decoder.

    Attributes:
        model: the whole model.
        transform: hidden states (n, d) to decoder inputs (n, d); None when the head is not known.
        decoder: the decoder's Linear; None when the head is not known.
        full: True when the head is not known and the model computes logits at every position.
    """

    model: Any
    transform: Callable[[torch.Tensor], torch.Tensor] | None
    decoder: Any
    full: bool

    @classmethod
    def of(cls, model: Any) -> Predictor:
        """Take a model apart, and check on six tokens that the parts compute what the whole does."""
        import torch

        parts, decoder = head_parts(model)

        def transform(hidden: torch.Tensor) -> torch.Tensor:
            for part in parts:
                hidden = part(hidden)
            return hidden

        made = cls(model, transform, decoder, False)
        if isinstance(decoder, torch.nn.Linear):
            ids = (torch.arange(6) * 7919 % decoder.out_features)[None].to(decoder.weight.device)
            training = model.training
            model.eval()
            try:
                with torch.no_grad():
                    whole = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0].float()
                    apart = decoder(transform(made.hidden(ids, None)[0])).float()
            except RuntimeError:  # shapes that do not fit: a head with parts we do not know
                return cls(model, None, None, True)
            finally:
                model.train(training)
            if whole.shape == apart.shape and torch.allclose(whole, apart, rtol=1e-3, atol=1e-3):
                return made
        return cls(model, None, None, True)

    def hidden(self, ids: torch.Tensor, attention: Attention, positions: torch.Tensor | None = None) -> torch.Tensor:
        """Last hidden states, (rows, length, d); arguments as `gathered`."""
        body = self.model.base_model
        extra = {} if self.model.config.is_encoder_decoder or not _caches(self.model.config) else {"use_cache": False}
        return body(input_ids=ids, attention_mask=attention, **_placed(positions), **extra)[0]

    def gathered(
        self, ids: torch.Tensor, attention: Attention, flat: torch.Tensor, positions: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compute what the decoder reads at some positions, (n, d); logits, (n, V), when the head is not known.

        Args:
            ids: (rows, length).
            attention: (rows, length), 0 at padding; None when nothing is padding; or a mask as the layers read it,
                (rows, 1, length, length), one for all or one for each kind of layer.
            flat: (n,) positions in the flattened rows.
            positions: (rows, length) position ids; None leaves them to the model.
        """
        if self.full:
            logits = self.model(input_ids=ids, attention_mask=attention, **_placed(positions)).logits
            return logits.reshape(-1, logits.shape[-1]).index_select(0, flat)
        hidden = self.hidden(ids, attention, positions)
        states = hidden.reshape(-1, hidden.shape[-1]).index_select(0, flat)
        return self.transform(states)  # type: ignore[misc]

    def logits(self, gathered: torch.Tensor) -> torch.Tensor:
        """Logits (n, V) from what `gathered` gave."""
        return gathered if self.full else self.decoder(gathered)


def _placed(positions: torch.Tensor | None) -> dict[str, torch.Tensor]:
    return {} if positions is None else {"position_ids": positions}


def _caches(config: Any) -> bool:
    return bool(getattr(config, "use_cache", False))
