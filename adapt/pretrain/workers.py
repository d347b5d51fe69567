"""The processes of this machine that carry out a job together: started, listened to, and ended together.

Whoever starts them takes no part: it reads what rank 0 tells (a line of JSON each), sees at once when one has ended,
and then ends the others, which would wait for it for ever. When it ends itself, however that comes, so do they: each
reads its standard input, which is closed then.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from adapt.pretrain.distributed import World, carry_out, join
from lexigraft import InputError

LEAVE = 0.5  # seconds that processes have to say why they end, once one has ended


def launch(job: dict[str, Any], progress: Any) -> Any:
    """Start the processes of a job on this machine, pass on what rank 0 tells, and end all when one ends badly."""
    lines: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
    workers: list[Any] = []
    readers: list[threading.Thread] = []
    with tempfile.TemporaryDirectory(prefix="lexigraft-") as name:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        try:
            for rank in range(job["processes"]):
                workers.append(_start(folder, rank, job["processes"]))
                readers.append(threading.Thread(target=_read, args=(rank, workers[rank], lines), daemon=True))
                readers[rank].start()
            codes, said = _watch(workers, readers, lines, progress)
            if any(codes):
                raise _failure(codes, said, folder)
            return said[0]["result"]
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
                with suppress(OSError):
                    worker.stdin.close()
            for reader in readers:
                reader.join()


def _start(folder: Path, rank: int, size: int) -> subprocess.Popen[str]:
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    environment = {**os.environ, **{key: str(value) for key, value in places.items()}}
    loopback = {"linux": "lo", "darwin": "lo0"}.get(sys.platform)
    if loopback:  # all are on this machine: whatever the host's name resolves to, and closed to others
        environment["GLOO_SOCKET_IFNAME"] = loopback
    with (folder / f"errors-{rank}.txt").open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "adapt.pretrain.workers", str(folder)],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8",
        )  # fmt: skip


def _read(rank: int, worker: Any, lines: queue.Queue[tuple[int, dict[str, Any]]]) -> None:
    with worker.stdout:
        for line in worker.stdout:
            lines.put((rank, json.loads(line)))


def _watch(
    workers: list[Any], readers: list[Any], lines: queue.Queue[tuple[int, dict[str, Any]]], progress: Any
) -> tuple[list[int | None], dict[int, dict[str, Any]]]:
    """Wait until all have ended, or one badly, and return exit codes (None: still there) and what each said last.

    The others fail for want of the one that ended: they have a moment to say so, then it is seen who was first.
    """
    said: dict[int, dict[str, Any]] = {}
    deadline: float | None = None
    while True:
        codes = [worker.poll() for worker in workers]
        ended = None not in codes and not any(reader.is_alive() for reader in readers)
        if any(codes):
            deadline = deadline or time.monotonic() + LEAVE
        try:
            rank, line = lines.get(timeout=0.1)
        except queue.Empty:
            if ended or (deadline and time.monotonic() > deadline):
                return codes, said
            continue
        if "progress" not in line:
            said[rank] = line
        elif progress is not None:
            progress(*line["progress"])


def _failure(codes: list[int | None], said: dict[int, dict[str, Any]], folder: Path) -> Exception:
    """Make the error of processes that failed: bad input before a death by signal before what followed from it."""
    refused = [line["refused"] for line in said.values() if "refused" in line]
    if refused:
        return InputError(refused[0])
    rank = min((r for r, code in enumerate(codes) if code), key=lambda r: (r in said, r))
    if "crashed" in said.get(rank, {}):
        return RuntimeError(f"process {rank} of {len(codes)}: {said[rank]['crashed']}\n{said[rank]['trace']}")
    code = codes[rank] or 0
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    last = (folder / f"errors-{rank}.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    return InputError(
        f"process {rank} of {len(codes)} {how}, and the others with it; what was saved before is untouched",
        found=last[0] if last else None,
        expected="enough memory; the same command goes on from here",
    )


def work(folder: Path) -> None:
    """Be one of the processes that `launch` started: do the job, tell of it on standard output.

    It ends when the process that started it does, whose end of the standard input is then closed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; who started us decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no message of ours

    def tell(**line: Any) -> None:
        channel.write(json.dumps(line, default=str) + "\n")
        channel.flush()

    import torch.distributed as dist

    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    try:
        join(dist.FileStore(str(folder / "store"), job["processes"]))
        result = carry_out(job, (lambda *facts: tell(progress=facts)) if os.environ["RANK"] == "0" else None)
        World.here().wait()
        tell(result=result)
        # Nothing is left to do, and Python's own end may abort where a thread of torch still runs.
        sys.stderr.flush()
        os._exit(0)
    except InputError as error:
        tell(refused=str(error))
        raise SystemExit(2) from None
    except Exception as error:
        tell(crashed=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
