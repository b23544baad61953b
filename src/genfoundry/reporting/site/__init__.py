"""The report as a static site: a page a data set and a page a model, each one file that asks for nothing.

A projection of the DVC outs, the ledger and the measured costs, rebuilt at any time and no out itself: it shows what
depends on the machine and the moment. Neither torch nor MLflow is imported, so that ten experiments take a second.
"""

from __future__ import annotations

from pathlib import Path

from genfoundry import places
from genfoundry.checkpoint import write_bytes
from genfoundry.reporting.site import dataset, index, model, paper
from genfoundry.reporting.site.facts import Facts


def render(root: Path) -> list[Path]:
    """Write reports/index.html, reports/datasets/<dataset>.html and reports/models/<experiment>.html.

    Pages of what is no longer there are removed. What an out does not hold is left out or said to be missing.

    Returns:
        The pages, relative to `root`.

    Raises:
        UserError: an out or the ledger is damaged, or a page cannot be written.
    """
    facts = Facts.read(root)
    pages = {places.INDEX: paper.page("index.html", home="", **index.view(facts))}
    for name in facts.datasets():
        pages[places.dataset_page(name)] = paper.page("dataset.html", home="../", **dataset.view(facts, name))
    for name in facts.models:
        pages[places.model_page(name)] = paper.page("model.html", home="../", **model.view(facts, name))
    for path, text in pages.items():
        write_bytes(root / path, text.encode())
    for folder in {places.dataset_page("").parent, places.model_page("").parent}:
        for old in (root / folder).glob("*.html"):
            if old.relative_to(root) not in pages:
                old.unlink()
    return list(pages)
