"""The embedded example: the Bible in Chichewa and English with silver labels, what `lexigraft demo` runs on."""

from corpora.sample.export import export, source_model

__all__ = ["export", "source_model"]
