"""A text without line ends is learnt from, compared on and looked at like any other, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.vocab.invented_text import TEXT
from vocab.compare import compare
from vocab.tokenizer import train_tokenizer
from vocab.tokenizer.check import check
from vocab.tokenizer.convert import convert
from vocab.tokenizer.extend import extend
from vocab.tokenizer.texts import Lines
from vocab.tokenizer.trim import trim

PEAK = """
import resource, sys
from pathlib import Path
from tests.vocab.test_long_lines import one_line
one_line(Path(sys.argv[1]), 50_000_000, sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def one_line(folder: Path, size: int, between: str) -> None:
    """Go all ways with a text of one line.

    Args:
        folder: written into.
        size: bytes.
        between: what stands between words.
    """
    file = folder / "text.txt"
    part = between.join(" ".join(TEXT).split()) + between
    text = (part.encode() * (size // len(part.encode()) + 1))[:size].decode("utf-8", "ignore")
    file.write_text(text, encoding="utf-8")
    tokenizer = train_tokenizer(file, algorithm="bpe", vocab_size=150, character_coverage=1.0)
    assert tokenizer.facts["lines"] > size >> 20
    table = compare({"x": tokenizer}, file)
    assert table.attrs["text"]["characters"] == len(text)
    assert not any(finding.name == "unknown letters" for finding in check(tokenizer, file))
    trimmed, extended = trim(tokenizer, file), extend(tokenizer, file, 20)
    assert trimmed.facts["used"] <= trimmed.facts["after"] <= len(tokenizer)
    assert extended.facts["tokens_after"] < extended.facts["tokens_before"]
    made = convert(tokenizer, folder / "tokenizer.json", texts=file)
    assert made.facts == {"lines": len(list(Lines(file))), "lines_different": 0}


@pytest.mark.parametrize("between", [" ", ""], ids=["words", "no spaces"])
def test_a_text_of_one_line(between: str, tmp_path: Path):
    one_line(tmp_path, (1 << 20) + 100_000, between)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the peak of memory is read from `resource`")
@pytest.mark.parametrize("between", [" ", ""], ids=["words", "no spaces"])
def test_a_line_of_50_megabytes_takes_little_more_than_a_gigabyte(between: str, tmp_path: Path):
    command = [sys.executable, "-c", PEAK, str(tmp_path), between]
    assert float(subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout) < 1300
