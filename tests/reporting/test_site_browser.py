"""The site in a browser: no error, no request, sorting, the game, and a phone's width."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import showcase

from genfoundry.reporting import site

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path: apt-get install chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
PAGES = ["index", f"datasets/{showcase.DATA}", f"datasets/{showcase.SERIES}"]
PAGES += [f"models/{name}" for name in (showcase.GAN, showcase.VAE, showcase.LINEAR)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = showcase.outs(tmp_path_factory.mktemp("showcase"))
    site.render(root)
    return root


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    yield tab
    tab.close()


def address(root: Path, name: str) -> str:
    return (root / "reports" / f"{name}.html").as_uri()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_without_an_error_or_a_request(root: Path, tab: Any, name: str) -> None:
    said: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(address(root, name))
    tab.wait_for_load_state("networkidle")
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [address(root, name)]
    assert tab.locator("h1").count() == 1
    images = tab.locator("img")
    assert images.evaluate_all("all => all.every(i => i.alt && i.complete && i.naturalWidth > 0)")


@pytest.mark.parametrize("name", PAGES)
def test_the_policy_stops_what_a_page_might_ask_for(root: Path, tab: Any, name: str) -> None:
    tab.goto(address(root, name))
    refused = tab.evaluate("() => fetch('https://example.invalid/').then(() => false, () => true)")
    assert refused
    ran = """() => { const s = document.createElement('script'); s.textContent = 'window.ran = true';
             document.body.append(s); return Boolean(window.ran); }"""
    assert tab.evaluate(ran) is False


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_no_page_sideways(root: Path, browser: Any, name: str, scheme: str) -> None:
    phone = browser.new_page(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    phone.goto(address(root, name))
    assert phone.evaluate("document.documentElement.scrollWidth") <= 360
    dark = phone.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0] < 100")
    assert dark == (scheme == "dark")
    phone.close()


def links(tab: Any) -> list[str]:
    found: list[str] = tab.eval_on_selector_all("a[href]", "all => all.map(a => a.href.split('#')[0])")
    return found


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_pages_that_are_there(root: Path, tab: Any, name: str) -> None:
    from urllib.parse import unquote, urlsplit

    tab.goto(address(root, name))
    assert links(tab)
    assert [url for url in links(tab) if not Path(unquote(urlsplit(url).path)).exists()] == []


def column(tab: Any, index: int) -> list[str]:
    found: list[str] = tab.locator("table.board tbody tr").evaluate_all(
        "(rows, i) => rows.map(r => r.cells[i].dataset.sort ?? r.cells[i].textContent.trim())", index
    )
    return found


def test_sorting_puts_numbers_in_order_and_empty_cells_last(root: Path, tab: Any) -> None:
    tab.goto(address(root, f"datasets/{showcase.DATA}"))
    heads = tab.locator("table.board thead tr:last-child th")
    index = heads.all_inner_texts().index(next(t for t in heads.all_inner_texts() if t.startswith("Frechet")))
    head = heads.nth(index)
    head.locator("button").click()
    assert column(tab, index) == ["0.9", "8.5", "31.25", "612.0", "no samples"]
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").focus()
    tab.keyboard.press("Enter")
    assert column(tab, index) == ["612.0", "31.25", "8.5", "0.9", "no samples"]
    assert head.get_attribute("aria-sort") == "descending"
    heads.first.locator("button").click()
    assert column(tab, 0) == sorted(column(tab, 0))
    assert head.get_attribute("aria-sort") is None


def test_an_empty_cell_says_why(root: Path, tab: Any) -> None:
    tab.goto(address(root, f"datasets/{showcase.DATA}"))
    row = tab.locator("table.board tbody tr", has_text=showcase.GAN).first
    empty = row.locator("td.empty")
    assert empty.first.inner_text() == "no likelihood"
    assert empty.first.get_attribute("title") == "bits/dim: no likelihood"
    assert tab.locator("table.board td:empty").count() == 0


def real(tab: Any) -> int:
    """Which tile shows a real image: the fabricated real ones are bright."""
    sheets: list[str] = tab.locator("#game .tile").evaluate_all("all => all.map(t => t.style.backgroundImage)")
    assert sorted(sheets) == ["var(--generated)", "var(--real)"]
    return sheets.index("var(--real)")


def test_the_game_counts(root: Path, tab: Any) -> None:
    tab.goto(address(root, f"datasets/{showcase.DATA}"))
    tiles, score, following = tab.locator("#game .tile"), tab.locator("#game output"), tab.locator("#game .next")
    assert tiles.first.evaluate("t => getComputedStyle(t).backgroundImage.startsWith('url(\"data:image/png')")
    tiles.nth(real(tab)).click()
    assert score.inner_text() == "1 of 1 right"
    assert tab.locator("#game .verdict").inner_text().startswith("Right")
    assert tiles.first.is_disabled() and tiles.last.is_disabled()  # a second answer to one round does not count
    following.click()
    tiles.nth(1 - real(tab)).click()
    assert score.inner_text() == "1 of 2 right"
    assert tab.locator("#game .verdict").inner_text().startswith("Wrong")
    sides = []
    for rounds in range(3, 23):
        tab.keyboard.press("Enter")  # the button for the next pair has the focus
        sides.append(real(tab))
        tab.keyboard.press(("ArrowLeft", "ArrowRight")[sides[-1]])
        assert score.inner_text() == f"{rounds - 1} of {rounds} right"
    assert set(sides) == {0, 1}
    assert tab.locator("#game .luck").inner_text() == "You can tell them apart."


def test_no_game_without_images_to_play_with(root: Path, tab: Any) -> None:
    tab.goto(address(root, f"datasets/{showcase.SERIES}"))
    assert tab.locator("#game").count() == 0
