"""The three pages in a real browser, with a real run behind them: started, followed, found again, stopped, resumed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from app.parts.folders import RunFolder

from .conftest import APP, NASTY

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("LEXIGRAFT_CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 120_000  # milliseconds; a machine that does other work is slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory, finished_run) -> Path:
    """A runs folder that holds one finished run."""
    folder = tmp_path_factory.mktemp("browser") / "runs"
    shutil.copytree(finished_run.folder, folder / finished_run.folder.name)
    return folder


@pytest.fixture(scope="module")
def server(folder):
    """Address of the workbench, as `lexigraft ui` starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(APP / "main.py"), "--server.headless", "true"]
    command += ["--server.port", str(port), "--server.address", "127.0.0.1"]
    with (folder.parent / "server.txt").open("wb") as output:
        environment = {**os.environ, "LEXIGRAFT_RUNS": str(folder), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=folder.parent)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                if urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).status == 200:
                    break
            except OSError:
                assert process.poll() is None, (folder.parent / "server.txt").read_text()
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(20)
        for run in folder.iterdir():  # no run outlives the tests
            for known in (RunFolder(run).process, RunFolder(run).launch):
                if known:
                    shut(known if isinstance(known, psutil.Process) else known.get("pid"))


def shut(process) -> None:
    try:
        process = process if isinstance(process, psutil.Process) else psutil.Process(process)
        if "adapt.cli" in " ".join(process.cmdline()):
            process.kill()
    except psutil.Error:
        pass


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium, or set LEXIGRAFT_CHROMIUM")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, server, tmp_path):
    """A window of its own; whatever it asked other machines for, and every script error, fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, base_url=server)
    window = context.new_page()
    window.set_default_timeout(PATIENCE)
    bad: list[str] = []
    window.on("pageerror", lambda error: bad.append(str(error)))
    window.on("request", lambda r: bad.append(r.url) if not r.url.startswith((server, "data:", "blob:")) else None)
    window.on("dialog", lambda dialog: (bad.append(dialog.message), dialog.dismiss()))
    window.shots = tmp_path
    yield window
    window.screenshot(path=tmp_path / "last.png")
    context.close()
    assert bad == []


def settle(page) -> None:
    """Wait until the page's script has nothing to do."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')


def enter(page, key: str, value: str) -> None:
    """Type into a field of the form, and leave it."""
    field = page.locator(f".st-key-{key.replace(':', '-').replace('.', '-')}").locator("input, textarea").first
    field.fill(value)
    field.press("Tab")
    settle(page)


def stop(page) -> None:
    page.locator(".st-key-stop button").click()
    page.locator(".st-key-stop_yes button").click()


def test_compare(page, server, tiny_source):
    from urllib.parse import urlencode

    page.goto("/?" + urlencode({"tokenizers": str(tiny_source), "text": f"walking houses {NASTY} ẽ"}))
    words = page.locator(".lx-panel .lx-word")
    words.first.wait_for()
    settle(page)
    assert page.locator(".lx-text").inner_text().count("onerror") <= 1  # shown as text, if in one piece at all
    assert page.locator(".lx-text img").count() == 0
    assert page.locator(".lx-unk").count() >= 1
    area = page.locator(".st-key-text textarea")
    area.fill("walkingmama kudatalks")
    area.press("Control+Enter")
    page.wait_for_function("document.querySelectorAll('.lx-panel .lx-word').length == 2")
    from vocab.view import Vocabulary

    view = Vocabulary.of(tiny_source)
    expected = [len(view.pieces_of(word, True)) for word in ("walkingmama", "kudatalks")]
    assert max(expected) > 1
    assert [int(n) for n in page.locator(".lx-panel .lx-n").all_inner_texts()] == expected
    assert page.locator(".lx-panel .lx-p").count() == sum(expected)
    colours = page.locator(".lx-panel .lx-p").evaluate_all("all => all.map(p => getComputedStyle(p).backgroundColor)")
    assert all(a != b for a, b in zip(colours, colours[1:], strict=False)) and "rgba(0, 0, 0, 0)" not in colours
    assert "text=walking" in page.url
    page.get_by_text("Word by word").click()
    page.locator("table.lx-words").wait_for()
    page.screenshot(path=page.shots / "compare.png")


def test_unknown_tokenizer_is_a_message(page, server):
    page.goto("/?tokenizers=/no/such/folder")
    page.get_by_text("there is no such file or folder").wait_for()
    assert page.get_by_text("Traceback").count() == 0


def test_finished_run(page, server, finished_run):
    page.goto("/runs")
    page.get_by_text(finished_run.folder.name).wait_for()
    page.get_by_role("link", name="Open").first.click()
    table = page.locator("table.lx-table")
    table.wait_for()
    assert f"run={finished_run.folder.name}" in page.url
    for arm in ("source", "keep", "adapted"):
        assert arm in table.inner_text()
    assert page.locator(".lx-is-best").count() >= 1
    page.get_by_role("tab", name="Curves").click()
    page.locator('[data-testid="stVegaLiteChart"] canvas, [data-testid="stVegaLiteChart"] svg').first.wait_for()
    page.get_by_role("tab", name="Pictures").click()
    page.locator('[data-testid="stImage"] img, [data-testid="stImageContainer"] img').first.wait_for()
    page.get_by_role("tab", name="Files and settings").click()
    with page.expect_download() as download:
        page.get_by_text("Scores (CSV)").click()
    assert Path(download.value.path()).read_bytes() == (finished_run.folder / "report" / "scores.csv").read_bytes()
    page.screenshot(path=page.shots / "run.png")


def test_run_from_the_form_to_its_end(page, server, folder, tiny_source, language):
    page.goto("/new")
    page.get_by_role("heading", name="New run").wait_for()
    settle(page)
    enter(page, "run:language", "two words")
    page.get_by_text("not in the form asked for").wait_for()
    page.get_by_role("button", name="Start the run").click()
    page.get_by_text("this is needed").first.wait_for()
    before = set(folder.iterdir())

    enter(page, "run:language", "mul")
    enter(page, "run:source.model", str(tiny_source))
    enter(page, "run:corpus.text", str(language / "text.txt"))
    enter(page, "run:tokenizer.vocab_size", "150")
    enter(page, "run:pretrain.steps", "100000")  # so long that it must be stopped
    page.get_by_text("More pretrain settings").click()
    enter(page, "run:pretrain.batch_tokens", "256")
    enter(page, "run:pretrain.sequence_length", "32")
    enter(page, "run:pretrain.checkpoint_seconds", "1")
    page.get_by_text("More general settings").click()
    enter(page, "run:threads", "1")
    assert "steps: 100000" in page.locator(".st-key-preview").inner_text()
    page.screenshot(path=page.shots / "form.png")
    page.get_by_role("button", name="Start the run").click()

    page.wait_for_url("**/runs?run=mul-*")
    name = page.url.split("run=")[1]
    page.locator(".lx-running", has_text="Pretrain").locator(".lx-bar").wait_for()
    page.get_by_text("Prepare the text").wait_for()
    page.locator(".lx-facts b").first.wait_for()
    first = page.locator(".lx-facts").inner_text()
    page.wait_for_function("old => document.querySelector('.lx-facts')?.innerText != old", arg=first)  # live
    page.screenshot(path=page.shots / "progress.png")

    page.reload()  # found again by its address, and in the list
    page.locator(".lx-badge", has_text="running").wait_for()
    page.get_by_role("link", name="All runs").click()
    page.locator(".lx-run", has_text=name).locator(".lx-is-running").wait_for()
    page.locator(f".st-key-row-{name}").get_by_role("link", name="Open").click()

    (made,) = set(folder.iterdir()) - before
    pid = json.loads((made / "run.json").read_text())["pid"]
    assert psutil.pid_exists(pid)
    page.locator(".st-key-stop button").click()
    page.locator(".st-key-stop_no button").click()  # asked first
    page.get_by_role("dialog").wait_for(state="hidden")
    assert psutil.pid_exists(pid)
    stop(page)
    page.locator(".lx-badge", has_text="stopped").wait_for()
    assert RunFolder(made).status == "stopped"
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE

    page.get_by_role("button", name="Resume").click()
    page.locator(".lx-badge", has_text="running").wait_for()
    page.locator(".lx-running", has_text="Pretrain").locator(".lx-bar").wait_for()
    assert json.loads((made / "run.json").read_text())["pid"] != pid
    stop(page)
    page.locator(".lx-badge", has_text="stopped").wait_for()


def test_narrow_and_dark(chromium, server, finished_run, tmp_path):
    """Nothing is wider than the window, in a phone's width and a dark theme."""
    context = chromium.new_context(viewport={"width": 400, "height": 800}, base_url=server, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    for path in ("/", "/new", "/runs", f"/runs?run={finished_run.folder.name}"):
        page.goto(path)
        page.locator("h1").first.wait_for()
        settle(page)
        wide = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
        assert wide <= 400, path
        page.screenshot(path=tmp_path / f"narrow-{path.strip('/')[:5]}.png")
    dark = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    assert sum(int(n) for n in dark[dark.index("(") + 1 : -1].split(",")[:3]) < 150
    context.close()
