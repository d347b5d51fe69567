"""Architectures to train from scratch; one file each."""
