"""The report as a static site: a page a data set and a page a model, each one file that asks for nothing.

A projection of the DVC outs, the ledger and the measured costs, rebuilt at any time and no out itself: it shows what
depends on the machine and the moment. Neither torch nor MLflow is imported, so that ten experiments take a second.
"""

from __future__ import annotations

from pathlib import Path

from genfoundry import paths
from genfoundry.files import write_bytes
from genfoundry.reporting.site import dataset, index, model
from genfoundry.reporting.site import render as site_render
from genfoundry.reporting.site.results import Facts


def render(root: Path) -> list[Path]:
    """Write reports/index.html, reports/datasets/<dataset>.html and reports/models/<experiment>.html.

    Pages of what is no longer there are removed. What an out does not hold is left out or said to be missing.

    Returns:
        The pages, relative to `root`.

    Raises:
        UserError: an out or the ledger is damaged, or a page cannot be written.
    """
    facts = Facts.read(root)
    pages = {paths.INDEX: site_render.page("index.html", home="", **index.view(facts))}
    for name in facts.datasets():
        pages[paths.dataset_page(name)] = site_render.page("dataset.html", home="../", **dataset.view(facts, name))
    for name in facts.models:
        pages[paths.model_page(name)] = site_render.page("model.html", home="../", **model.view(facts, name))
    for path, text in pages.items():
        write_bytes(root / path, text.encode())
    for folder in {paths.dataset_page("").parent, paths.model_page("").parent}:
        for old in (root / folder).glob("*.html"):
            if old.relative_to(root) not in pages:
                old.unlink()
    return list(pages)
