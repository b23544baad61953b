"""README and docs: links, paths, make targets and commands that they name exist, and the site builds offline."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

import genfoundry
from genfoundry.config.skipping import find_skipped
from pipeline import cli
from pipeline.orchestration import resolve

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / ".github").rglob("*.md")])
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
SOURCES = ("src/", "pipeline/", "tests/", "bench/", "docs/", "examples/", ".github/")
TERMS = 30  # in the glossary, at least
README_WORDS = 1500  # code and tables included


@pytest.fixture(params=PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def page(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def spans(text: str) -> list[str]:
    """Inline code."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))


def code(text: str) -> list[str]:
    """Lines of code blocks, and inline code."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.S)
    return [*spans(text), *(line for block in blocks for line in block.splitlines())]


def test_relative_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_named_paths_exist(page: Path) -> None:
    for span in spans(page.read_text(encoding="utf-8")):
        if span.startswith(SOURCES) and not re.search(r"[<>*${ ]", span):
            path = span.partition("::")[0]
            assert (ROOT / path).exists() or path == "src/genfoundry/models/mixture.py", span


def test_named_targets_exist(page: Path) -> None:
    for line in code(page.read_text(encoding="utf-8")):
        if match := re.match(r"make ([a-z][a-z -]*)", line.partition("#")[0].strip()):
            assert set(match[1].split()) <= TARGETS, line


def test_named_commands_exist(page: Path) -> None:
    commands = {*cli.COMMANDS, "--help"}
    for line in code(page.read_text(encoding="utf-8")):
        if match := re.match(r"genfoundry (\S+)", line.strip()):
            assert match[1] in commands, line


def test_named_attributes_exist(page: Path) -> None:
    for name in re.findall(r"\bgenfoundry\.(\w+)\(", page.read_text(encoding="utf-8")):
        assert name in genfoundry.__all__


def test_named_entries_exist(page: Path) -> None:
    """Experiments and tasks of DVC's commands, and of TASK= and EXPERIMENT=."""
    names = {*PARAMS["tasks"], *PARAMS["experiments"], *PARAMS["datasets"], "mixture-fashion"}
    for line in code(page.read_text(encoding="utf-8")):
        for name in re.findall(r"(?:TASK|EXPERIMENT)=([\w-]+)|\b(?:train|validate|evaluate)@([\w-]+)", line):
            assert set(filter(None, name)) <= names | {"mine", "my-photos-density"}, line


def test_the_results_are_of_every_task() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (?:none \()?`([\w-]+)`", readme, re.M)
    skipped = find_skipped(resolve.load_params(ROOT / "params.yaml"))["tasks"]
    assert [task for task, _ in rows] == [task for task in PARAMS["tasks"] if task not in skipped]
    assert all(PARAMS["experiments"][champion]["task"] == task for task, champion in rows)
    assert len(readme.split()) <= README_WORDS


def test_the_glossary_is_sorted_and_complete() -> None:
    glossary = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\*\*(.+)\*\*\n:   \S", glossary, re.M)
    assert len(terms) >= TERMS and terms == sorted(terms, key=str.lower)


def test_the_navigation_has_every_page() -> None:
    nav = re.search(r"^nav:\n(.*)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M | re.S)
    assert nav
    listed = re.findall(r": (\S+\.md)$", nav[1], re.M)
    there = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert {*listed} == there and len(listed) == len({*listed})


class Loads(HTMLParser):
    """The addresses that a page loads by itself: links that a reader may follow are not among them."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        loaded = tag in ("script", "img", "iframe", "source") or given.get("rel") in ("stylesheet", "preload", "icon")
        if loaded:
            self.addresses.append(given.get("src") or given.get("href", ""))


def test_the_site_builds_strictly_and_loads_nothing_from_other_servers(tmp_path: Path) -> None:
    pytest.importorskip("material")
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = [path for path in tmp_path.rglob("*.html") if path.name != "404.html"]
    assert len(pages) >= len(list((ROOT / "docs").glob("*.md")))
    for path in pages:
        html = path.read_text(encoding="utf-8")
        loads = Loads()
        loads.feed(html)
        assert [address for address in loads.addresses if "//" in address] == [], path
        assert 'class="mermaid"' not in html, "Material loads Mermaid from another server"
