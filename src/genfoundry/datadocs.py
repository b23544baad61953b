"""The frame of a Data Docs page: Jinja templates that stand in for Great Expectations' own, with nothing from outside.

The content security policy forbids every request, so that a page stays self-contained whatever a later version renders.
"""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #cf222e }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.5rem }
h5, h6, p { margin: .2rem 0; font-size: 1rem }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .6rem; text-align: left; vertical-align: top }
code, .code-snippet { font: 13px ui-monospace, monospace } code { opacity: .75 }
.good, .text-success { color: var(--good) } .bad, .text-danger { color: var(--bad) }
.fa-check-circle::before { content: "\\2713" } .fa-times::before { content: "\\2717" }
.fa-exclamation-triangle::before, .fa-exclamation::before { content: "!" }
i { font-style: normal; font-weight: bold }
.alert { border-top: 2px solid var(--line); margin-top: 1.5rem; padding-top: .6rem }
.badge { border: 1px solid var(--line); border-radius: .3rem; padding: 0 .3rem }
pre { white-space: pre-wrap; overflow-wrap: anywhere }
ul { padding-left: 1.2rem; margin: .2rem 0 }
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

TEMPLATES = {"page.j2": PAGE.replace("{{ style }}", STYLE), "collapse.j2": COLLAPSE}
