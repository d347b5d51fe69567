"""Aligns the words of line-aligned text: IBM model 1, then a hidden Markov model with jump widths.

P. F. Brown et al., The Mathematics of Statistical Machine Translation, 1993; S. Vogel, H. Ney, C. Tillmann, HMM-Based
Word Alignment in Statistical Translation, 1996. Everything is expected counts over arrays, so equal input gives equal
output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NULL_SHARE = 0.2
JUMP = 8


@dataclass(frozen=True)
class Table:
    """Translation probabilities p(target word | source word) over pairs of words that occur together."""

    pairs: np.ndarray
    """Sorted int64 keys: source id * number of target words + target id."""
    values: np.ndarray
    targets: int

    def look(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Probabilities of id arrays of equal shape; 0 for pairs never seen together."""
        keys = source.astype(np.int64) * self.targets + target
        at = np.minimum(np.searchsorted(self.pairs, keys), len(self.pairs) - 1)
        return np.where(self.pairs[at] == keys, self.values[at], 0.0)


def train_model1(
    source: Sequence[np.ndarray], target: Sequence[np.ndarray], n_source: int, n_target: int, rounds: int = 5
) -> Table:
    """Learn p(target | source) by expectation maximisation; source id 0 is the empty word, part of every line.

    Args:
        source: ids of each line's source words, the empty word not included.
        target: ids of each line's target words.
        n_source: number of source words, the empty word included.
        n_target: number of target words.
        rounds: passes over the text.
    """
    keys, owner, start = [], [], 0
    for s, t in zip(source, target, strict=True):
        row = np.concatenate(([0], s)).astype(np.int64)
        keys.append((row[None, :] * n_target + t[:, None]).ravel())
        owner.append(np.repeat(np.arange(start, start + len(t), dtype=np.int32), len(row)))
        start += len(t)
    all_keys, place = np.concatenate(keys), np.concatenate(owner)
    pairs, index = np.unique(all_keys, return_inverse=True)
    index = index.astype(np.int32)
    del all_keys, keys, owner
    first = pairs // n_target
    values = np.full(len(pairs), 1.0)
    for _ in range(rounds):
        weight = values[index]
        weight /= np.bincount(place, weight, minlength=start)[place]
        counts = np.bincount(index, weight, minlength=len(pairs))
        values = counts / np.bincount(first, counts, minlength=n_source)[first]
    return Table(pairs, values, n_target)


def train_hmm(
    table: Table,
    source: Sequence[np.ndarray],
    target: Sequence[np.ndarray],
    n_source: int,
    rounds: int = 4,
    extra: Table | None = None,
    extra_ids: tuple[Sequence[np.ndarray], Sequence[np.ndarray]] | None = None,
) -> tuple[Table, list[np.ndarray]]:
    """Sharpen a table with a Markov model over positions and give the posteriors of every line.

    Args:
        table: from `train_model1`.
        source: ids of each line's source words.
        target: ids of each line's target words.
        n_source: number of source words, the empty word included.
        rounds: passes; the last one only measures.
        extra: a second table over coarser classes (stems), whose probability is averaged in for rare words.
        extra_ids: the lines as ids of those classes, (source, target).

    Returns:
        The new table, and for each line an array (target words, source words + 1) whose rows add up to one; column 0 is
        the empty word.
    """
    jump = np.exp(-0.6 * np.abs(np.arange(-JUMP, JUMP + 1) - 1.0))
    order = sorted(range(len(source)), key=lambda i: (len(source[i]), len(target[i])))
    posteriors: list[np.ndarray] = [np.zeros((0, 0))] * len(source)
    for turn in range(rounds):
        last = turn == rounds - 1
        counts = np.zeros(len(table.pairs))
        jumps = np.zeros(2 * JUMP + 1)
        for at in range(0, len(order), 256):
            batch = [i for i in order[at : at + 256] if len(source[i]) and len(target[i])]
            if not batch:
                continue
            src, s_mask = _pad([source[i] for i in batch])
            tgt, t_mask = _pad([target[i] for i in batch])
            emit = table.look(src[:, None, :], tgt[:, :, None])
            null = table.look(np.zeros_like(tgt), tgt)
            if extra is not None and extra_ids is not None:
                xs, _ = _pad([extra_ids[0][i] for i in batch])
                xt, _ = _pad([extra_ids[1][i] for i in batch])
                emit = 0.5 * emit + 0.5 * extra.look(xs[:, None, :], xt[:, :, None])
                null = 0.5 * null + 0.5 * extra.look(np.zeros_like(xt), xt)
            post, moved = _posteriors(emit, null, s_mask, t_mask, jump)
            jumps += moved
            keys = src[:, None, :].astype(np.int64) * table.targets + tgt[:, :, None]
            keys = np.concatenate([tgt[:, :, None].astype(np.int64), keys], axis=2)
            spot = np.minimum(np.searchsorted(table.pairs, keys.ravel()), len(table.pairs) - 1)
            counts += np.bincount(spot, post.ravel(), minlength=len(table.pairs))
            if last:
                for row, i in enumerate(batch):
                    posteriors[i] = post[row, : len(target[i]), : len(source[i]) + 1].astype(np.float32)
        first = table.pairs // table.targets
        totals = np.bincount(first, counts, minlength=n_source)[first]
        table = Table(table.pairs, np.where(totals > 0, counts / np.maximum(totals, 1e-12), 0.0), table.targets)
        jump = (jumps + 1e-3 * jumps.sum()) / (jumps.sum() * (1 + 1e-3 * len(jumps)))
    return table, posteriors


def _pad(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    width = max(len(row) for row in rows)
    ids, mask = np.zeros((len(rows), width), dtype=np.int64), np.zeros((len(rows), width), dtype=bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, True
    return ids, mask


def _posteriors(
    emit: np.ndarray, null: np.ndarray, s_mask: np.ndarray, t_mask: np.ndarray, jump: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Forward-backward over padded lines: posteriors (lines, targets, 1 + sources) and expected jump counts.

    The empty word keeps no position of its own: a line goes on from where it was before, which is approximated by
    letting the state stay and emitting from the empty word with a fixed share.
    """
    lines, n_t, n_s = emit.shape
    step = np.clip(np.arange(n_s)[None, :] - np.arange(n_s)[:, None], -JUMP, JUMP) + JUMP
    move = jump[step][None] * s_mask[:, None, :]
    move = move / np.maximum(move.sum(2, keepdims=True), 1e-12)
    both = (1 - NULL_SHARE) * emit * s_mask[:, None, :] + NULL_SHARE * null[:, :, None] * s_mask[:, None, :] + 1e-12
    share = ((1 - NULL_SHARE) * emit + 1e-15) / both
    forward = np.zeros((lines, n_t, n_s))
    forward[:, 0] = s_mask / s_mask.sum(1, keepdims=True) * both[:, 0]
    forward[:, 0] /= np.maximum(forward[:, 0].sum(1, keepdims=True), 1e-300)
    for t in range(1, n_t):
        now = np.matmul(forward[:, t - 1, None, :], move)[:, 0] * both[:, t]
        now /= np.maximum(now.sum(1, keepdims=True), 1e-300)
        forward[:, t] = np.where(t_mask[:, t, None], now, forward[:, t - 1])
    backward = np.ones((lines, n_s))
    post = np.zeros((lines, n_t, n_s + 1))
    moved = np.zeros(2 * JUMP + 1)
    for t in range(n_t - 1, -1, -1):
        gamma = forward[:, t] * backward
        gamma /= np.maximum(gamma.sum(1, keepdims=True), 1e-300)
        gamma = gamma * t_mask[:, t, None]
        post[:, t, 1:] = gamma * share[:, t]
        post[:, t, 0] = np.maximum(gamma.sum(1) - post[:, t, 1:].sum(1), 0)
        if t:
            ahead = both[:, t] * backward
            # Expected transitions: forward[t-1] (i) * move (i, j) * ahead (j), normalised a line.
            joint = forward[:, t - 1, :, None] * move * ahead[:, None, :]
            joint /= np.maximum(joint.sum((1, 2), keepdims=True), 1e-300)
            joint *= t_mask[:, t, None, None]
            moved += np.bincount(step.ravel(), joint.sum(0).ravel(), minlength=2 * JUMP + 1)
            new = np.matmul(move, ahead[:, :, None])[:, :, 0]
            new /= np.maximum(new.max(1, keepdims=True), 1e-300)
            backward = np.where(t_mask[:, t, None], new, backward)
    return post, moved
