"""The embedded default: the Bible in Chichewa and English with silver labels, what `lexigraft demo` runs on."""
