"""Build, load, extend and trim tokenizers; one file per algorithm family."""
