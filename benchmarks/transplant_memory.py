"""Measure the memory that a whole transplant takes, in a process of its own (Linux).

    python -m benchmarks.transplant_memory SOURCE TARGET TEXT [--method NAME] [--bias mixed] [--no-score] [--save]

Prints the peak of resident memory beyond the two embedding matrices and what was imported before: the libraries and the
source model's class. All else counts, the source's tokenizer with it. Pages of files that are mapped count as any.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import peers


def status(line: str) -> int:
    """Read a line of this process's memory from the system, in bytes."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(next(part for part in text.splitlines() if part.startswith(line)).split()[1])


def reset_peak() -> int | None:
    """Forget this process's peak of memory and give what it holds now, in bytes; None where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return status("VmRSS")
    except OSError:
        return None


def apart(source: Path, target: Path, text: Path) -> str:
    """Measure the default call in a process of its own; returns the line that says what it took."""
    job = [sys.executable, "-m", "benchmarks.transplant_memory", source.resolve(), target.resolve(), text.resolve()]
    return subprocess.run(job, cwd=peers.ROOT, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Transplant, and print the peak."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="folder of the source model")
    parser.add_argument("target", help="folder of the new tokenizer")
    parser.add_argument("text", help="text in the language")
    parser.add_argument("--method", help="as vocab.transplant takes it; else the default chain")
    parser.add_argument("--bias", choices=("frequency", "mixed"))
    parser.add_argument("--no-score", action="store_true", help="without the check before training")
    parser.add_argument("--save", action="store_true", help="measure saving, too")
    arguments = parser.parse_args()

    import pyarrow  # noqa: F401
    import scipy.sparse  # noqa: F401
    import torch
    import transformers

    import vocab
    from vocab.memory import give_back
    from vocab.transplant.load import class_of

    class_of(transformers.AutoConfig.from_pretrained(arguments.source))
    _ = transformers.AutoTokenizer
    torch.set_num_threads(1)
    give_back()
    before = reset_peak()
    if before is None:
        print("this system does not tell a process's peak of memory")
        return
    graft = vocab.transplant(
        arguments.source, arguments.target, texts=arguments.text, method=arguments.method, bias=arguments.bias,
        score=not arguments.no_score, device=None,
    )  # fmt: skip
    if arguments.save:
        with tempfile.TemporaryDirectory() as folder:
            graft.save(folder)
    peak = status("VmHWM")
    setting = graft._setting
    matrices = sum(m.nbytes for m in setting.matrices.values())
    matrices += setting.carrier.model.get_input_embeddings().weight.nbytes * len(setting.matrices)
    print(
        f"whole call, beyond libraries and both matrices ({matrices / 1e6:.0f} MB), the source's tokenizer included: "
        f"{(peak - before - matrices) / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
