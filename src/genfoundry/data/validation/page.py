"""The frame of a Data Docs page: Jinja templates that stand in for Great Expectations' own, with nothing from outside.

The content security policy forbids every request, so that a page stays self-contained whatever a later version renders.
"""

from __future__ import annotations

from pathlib import Path

SHARED = Path(__file__).parents[2] / "reporting/site/templates/style.css"  # the report's: this page is no output either
OWN = """
table { margin: .5rem 0 } th, td { white-space: normal; overflow-wrap: anywhere }
h5, h6 { margin: .2rem 0; font-size: 1rem }
.text-success { color: var(--good) } .text-danger { color: var(--bad) } .code-snippet { font: 13px var(--mono) }
.fa-check-circle::before { content: "\\2713" } .fa-times::before { content: "\\2717" }
.fa-exclamation-triangle::before, .fa-exclamation::before { content: "!" }
i { font-style: normal; font-weight: bold }
.alert { border-top: 2px solid var(--line); margin-top: 1.5rem; padding-top: .6rem }
.badge { border: 1px solid var(--line); border-radius: .3rem; padding: 0 .3rem }
pre { white-space: pre-wrap; overflow-wrap: anywhere } ul { padding-left: 1.2rem; margin: .2rem 0 }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ dataset | e }}: validation</title>
<style>{{ style }}</style>
</head>
<body>
{% set failed = outcomes | rejectattr("success") | list %}
<h1>{{ dataset | e }}:
{% if failed %}<span class="bad">{{ failed | length }} of {{ outcomes | length }} expectations failed</span>
{% else %}<span class="good">all {{ outcomes | length }} expectations hold</span>{% endif %}</h1>
<table>
<tr><th></th><th>Rule</th><th>Column</th><th>Expected</th><th>Observed</th></tr>
{% for o in failed + (outcomes | selectattr("success") | list) %}
<tr><td><i class="{{ 'text-success fa-check-circle' if o.success else 'text-danger fa-times' }}"></i></td>
<td>{{ o.rule.says | e }}<br><code>{{ o.rule.name }}</code></td>
<td>{{ o.rule.column }}{{ " (" ~ o.rule.split ~ ")" if o.rule.split else "" }}</td>
<td>{{ o.rule.expected | e }}</td><td>{{ o.observed | e }}</td></tr>
{% endfor %}
</table>
<h2>Results in full, by column</h2>
{% for section in sections %}{% set section_loop = loop %}{% include "section.j2" %}{% endfor %}
</body>
</html>
"""

COLLAPSE = """<details><summary>{{ content_block.get("collapse_toggle_link", "More") | render_content_block }}</summary>
{% for block in content_block["collapse"] %}{{ block | render_content_block }}{% endfor %}</details>
"""


def templates() -> dict[str, str]:
    """Name -> source of the templates that replace Great Expectations'."""
    style = SHARED.read_text(encoding="utf-8") + OWN
    return {"page.j2": PAGE.replace("{{ style }}", "{% raw %}" + style + "{% endraw %}"), "collapse.j2": COLLAPSE}
