"""Compare tokenizers on the same text; one file per group of metrics."""
