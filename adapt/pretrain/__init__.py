"""Continued pretraining: objectives, blocks of text, masks, schedules, checkpoints, and the loop."""
