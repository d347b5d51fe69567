"""Run folders written by hand, in the layout that the pipeline leaves, and the pages drawn without a browser."""

from __future__ import annotations

import json
import math
import struct
import time
import zlib
from pathlib import Path

import pytest
import yaml

APP = Path(__file__).parents[2] / "app"
NASTY = "<img src=x onerror=alert(1)>"


def png() -> bytes:
    """A picture of 2 x 2 grey points."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\x00\x80\x90" * 2)) + chunk(b"IEND", b"")


def table() -> dict:
    cell = {"mean": 71.25, "low": 69.5, "high": 73.0, "seeds": [0, 1, 2], "text": "71.2 [69.5, 73.0]", "note": ""}
    best = {**cell, "mean": 80.0, "text": "80.0 [78.1, 81.9]", "best": True}
    bits = {**cell, "mean": 2.5, "low": 2.4, "high": 2.6, "text": "2.500 [2.400, 2.600]", "seeds": [0], "tied": True}
    return {
        "columns": ["lm", "pos"],
        "titles": {"lm": "Language model", "pos": "POS"},
        "units": {"lm": "pseudo-bits per character", "pos": "%"},
        "rows": [
            {"arm": "source", "cells": {"lm": {"mean": None, "text": "no head", "note": ""}, "pos": cell}},
            {"arm": "adapted", "label": "adapted", "what": "new vocabulary", "cells": {"lm": bits, "pos": best}},
            {"arm": NASTY, "cells": {"pos": {**cell, "note": NASTY}}},
        ],
        "verdicts": [
            {"task": "pos", "a": "adapted", "b": "source", "verdict": "ahead", "text": f"POS: adapted is ahead {NASTY}"}
        ],
        "gains": [{"what": "tokens per word", "before": 2.9, "after": 1.5, "unit": "", "text": "fewer pieces"}],
        "notes": ["LM in pseudo-bits per character."],
    }


def write_run(folder: Path, status: str = "finished", **state: object) -> Path:
    """A run folder as the pipeline leaves it: finished, or cut short inside pretraining."""
    folder.mkdir(parents=True)
    began = time.time() - 120
    settings = {"language": "nya", "source": {"model": "/models/minilm"}, "corpus": {"text": ["/data/text.txt"]}}
    (folder / "run.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    known = {"pid": 2**22 + 1, "created": began, "started": began, "status": status, **state}
    if status != "running":
        known["ended"] = began + 100
    (folder / "run.json").write_text(json.dumps(known), encoding="utf-8")
    events: list[dict] = [{"event": "run", "message": "started"}]
    for stage, seconds in (("corpus", 2.0), ("tokenizer", 3.5)):
        events += [{"event": "started", "stage": stage}]
        events += [{"event": "finished", "stage": stage, "facts": {"seconds": seconds}}]
    events += [{"event": "notice", "stage": "corpus", "message": f"3 lines removed {NASTY}"}]
    events += [{"event": "started", "stage": "pretrain/adapted"}]
    facts = {"loss": 4.25, "tokens_per_second": 1440}
    events += [
        {"event": "progress", "stage": "pretrain/adapted", "done": 30, "total": 120, "seconds_left": 75, "facts": facts}
    ]
    log = folder / (".partial/pretrain--adapted" if status != "finished" else "pretrain/adapted") / "log.jsonl"
    log.parent.mkdir(parents=True)
    lines = [{"step": n, "loss": 4 + 4 * math.exp(-n / 30), "lr": 1e-4, "seconds": n / 2} for n in range(1, 60)]
    for line in lines[::10]:
        line["heldout_loss"] = line["loss"] + 0.1
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    if status == "finished":
        events += [{"event": "finished", "stage": "pretrain/adapted", "facts": {"seconds": 60.0}}]
        report = folder / "report"
        report.mkdir()
        (report / "table.json").write_text(json.dumps(table()), encoding="utf-8")
        (report / "scores.csv").write_text("arm,task,value\nadapted,pos,80.0\n", encoding="utf-8")
        (report / "report.html").write_text("<!doctype html><title>Report</title>", encoding="utf-8")
        (report / "learning_curves.png").write_bytes(png())
        (folder / "README.md").write_text(
            "---\nlanguage: nya\n---\n# Model card of a test\n\nText.\n", encoding="utf-8"
        )
    events += [{"event": status, "message": str(state.get("message", ""))}] if status != "running" else []
    lines = [json.dumps({"time": began + n, **event}) + "\n" for n, event in enumerate(events)]
    (folder / "events.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """An empty runs folder that the pages look at."""
    folder = tmp_path / "runs"
    folder.mkdir()
    monkeypatch.setenv("LEXIGRAFT_RUNS", str(folder))
    return folder


@pytest.fixture
def app(runs):
    """Draws a page: `app("views/runs.py", run="name")`."""
    from streamlit.testing.v1 import AppTest

    def draw(page: str, **query: str):
        test = AppTest.from_file(str(APP / "main.py"), default_timeout=60)
        for key, value in query.items():
            test.query_params[key] = value
        test.run()
        return test if page == "views/compare.py" else test.switch_page(page).run()

    return draw
