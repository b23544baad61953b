"""The report as a static site: a page per data set and per model, each a self-contained file.

The site is derived from the DVC outputs, the ledger and the cost log, and can be rebuilt at any time. It is no DVC
output, since it shows what depends on the machine and the time. It imports neither torch nor MLflow.
"""

from __future__ import annotations

from pathlib import Path

from genfoundry import paths
from genfoundry.files import write_bytes
from genfoundry.reporting.site import dataset, index, model
from genfoundry.reporting.site.rendering import page
from genfoundry.reporting.site.results import Results


def render(root: Path) -> list[Path]:
    """Write reports/index.html, reports/datasets/<dataset>.html and reports/models/<experiment>.html.

    Pages of data sets and models that no longer exist are removed. Missing outputs are left out or said to be missing.

    Returns:
        The pages, relative to `root`.

    Raises:
        UserError: an output or the ledger is damaged, or a page cannot be written.
    """
    results = Results.read(root)
    pages = {paths.INDEX: page("index.html", home="", **index.view(results))}
    for name in results.datasets():
        pages[paths.dataset_page(name)] = page("dataset.html", home="../", **dataset.view(results, name))
    for name in results.models:
        pages[paths.model_page(name)] = page("model.html", home="../", **model.view(results, name))
    for path, html in pages.items():
        write_bytes(root / path, html.encode())
    # Pages are no DVC outputs, so that nobody else removes those of an experiment that is gone.
    for folder in {paths.dataset_page("").parent, paths.model_page("").parent}:
        for old in (root / folder).glob("*.html"):
            if old.relative_to(root) not in pages:
                old.unlink()
    return list(pages)
