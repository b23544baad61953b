"""What the project uses of Great Expectations that its documentation does not name. Seen with 1.24 (pyproject: <2).

Its documented way to a page, Data Docs, writes a whole site, with scripts, styles and a logo from five hosts.
tests/test_private_names.py holds each to what is relied on here.
"""

from __future__ import annotations

from typing import Any


def render_sections(result: Any) -> list[dict[str, Any]]:
    """A validation result as the sections of Great Expectations' own page, one an expectation, without the overview."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer

    sections: list[dict[str, Any]] = ValidationResultsPageRenderer().render(result).to_json_dict()["sections"]
    return sections[1:]


def render_page(templates: dict[str, str], **values: Any) -> str:
    """The template page.j2 of `templates`, which may include Great Expectations' own, with its filters."""
    from great_expectations.render.view import DefaultJinjaPageView
    from jinja2 import ChoiceLoader, DictLoader

    environment = DefaultJinjaPageView().env
    environment.loader = ChoiceLoader([DictLoader(templates), environment.loader])
    return str(environment.get_template("page.j2").render(**values))
