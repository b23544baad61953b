"""Links of a release in the package indexes that pip is set to use: mirrors, extra indexes, folders of archives.

`pip download` would run the release's own build to learn its metadata; a raw file needs its bytes alone.
"""

from __future__ import annotations

import ast
import http.client
import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

PYPI = "https://pypi.org/simple"


@cache
def settings() -> dict[str, str]:
    """pip's settings for `pip download`, files and environment together; {} where there is no pip."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    found: dict[str, str] = {}
    rank = {"global": 0, "install": 1, "download": 1, ":env:": 2}
    lines = [line.partition("=") for line in done.stdout.splitlines() if "=" in line]
    for key, _, value in sorted(lines, key=lambda line: rank.get(line[0].partition(".")[0], -1)):
        section, _, option = key.partition(".")
        if section in rank:
            found[option] = str(ast.literal_eval(value))
    for option in ("index-url", "extra-index-url", "find-links", "cert", "proxy"):
        if given := os.environ.get("PIP_" + option.upper().replace("-", "_")):
            found[option] = given
    return found


def opened(url: str, timeout: float) -> Any:
    """A response to read from, with pip's certificates, proxy and the credentials in the URL."""
    parts = urllib.parse.urlsplit(url)
    handlers: list[urllib.request.BaseHandler] = []
    if certificate := settings().get("cert"):
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=certificate)))
    if proxy := settings().get("proxy"):
        handlers.append(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    headers = {"User-Agent": "genfoundry", "Accept": "text/html, */*"}
    if parts.username:
        import base64

        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = urllib.request.Request(url, headers=headers)
    return urllib.request.build_opener(*handlers).open(request, timeout=timeout)


def links(name: str, version: str, reasons: list[str]) -> Iterator[str]:
    """URLs of the archives of a release, source archives first in each index; `reasons` gets why an index has none."""
    folders = settings().get("find-links", "").split()
    indexes = [settings().get("index-url", PYPI), *settings().get("extra-index-url", "").split()]
    project = re.sub(r"[-_.]+", "-", name).lower()
    pages = folders if settings().get("no-index", "").lower() in ("1", "true", "yes") else [
        *folders, *(f"{url.rstrip('/')}/{project}/" for url in indexes)
    ]  # fmt: skip
    for page in pages:
        shown = re.sub(r"//[^/@]*@", "//", page)
        try:
            found = [link for link in _listed(page) if _is(link, project, version)]
        except urllib.error.URLError as error:
            reasons.append(f"{shown}: {error.reason}")
        except (OSError, ValueError, http.client.HTTPException) as error:
            reasons.append(f"{shown}: {error}")
        else:
            if not found:
                reasons.append(f"{shown}: has no {name}=={version}")
            yield from sorted(found, key=lambda link: link.endswith(".whl"))


def _listed(page: str) -> list[str]:
    """Absolute links of an index page or a folder."""
    local = Path(urllib.request.url2pathname(page.removeprefix("file://")))
    if page.startswith("file:") or "://" not in page:
        if (local / "index.html").is_file():
            return _Links((local / "index.html").as_uri()).read((local / "index.html").read_text(encoding="utf-8"))
        return [path.resolve().as_uri() for path in sorted(local.iterdir())]
    with opened(page, 20) as response:
        return _Links(page).read(response.read().decode("utf-8", "replace"))


class _Links(HTMLParser):
    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base
        self._found: list[str] = []

    def read(self, html: str) -> list[str]:
        self.feed(html)
        return self._found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and (target := dict(attrs).get("href")):
            self._found.append(urllib.parse.urljoin(self._base, target).partition("#")[0])


def _is(link: str, project: str, version: str) -> bool:
    file = Path(urllib.parse.unquote(urllib.parse.urlsplit(link).path)).name
    stem = re.sub(r"\.(tar\.gz|tar\.bz2|tgz|zip|whl)$", "", file)
    if stem == file:
        return False
    stem = "-".join(stem.split("-")[:2]) if file.endswith(".whl") else stem
    return re.sub(r"[-_.]+", "-", stem).lower() == re.sub(r"[-_.]+", "-", f"{project}-{version}").lower()
