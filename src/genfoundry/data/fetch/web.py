"""The web as pip and npm are set to use it: certificates, a proxy, and the indexes that have a release's archives.

`pip download` would run the release's own build to learn its metadata; a raw file needs its bytes alone.
"""

from __future__ import annotations

import ast
import html
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit
from urllib.request import url2pathname

PYPI, NPM = "https://pypi.org/simple", "https://registry.npmjs.org"
NPM_SETTINGS = (".npmrc", "~/.npmrc", "/usr/etc/npmrc", "/usr/local/etc/npmrc", "/etc/npmrc")  # the first that says it
TIMEOUT = 20.0
HEADERS = {"User-Agent": "genfoundry", "Accept-Encoding": "identity"}  # a .gz file stays as it is
LINK = re.compile(r"""<a\s[^>]*?href\s*=\s*["']([^"'#]+)""", re.IGNORECASE)


@cache
def read_pip_settings() -> dict[str, str]:
    """Read pip's settings for `pip download`, files and environment together; {} where there is no pip."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    settings: dict[str, str] = {}
    rank = {"global": 0, "install": 1, "download": 1, ":env:": 2}
    lines = [line.partition("=") for line in done.stdout.splitlines() if "=" in line]
    for key, _, value in sorted(lines, key=lambda line: rank.get(line[0].partition(".")[0], -1)):
        section, _, option = key.partition(".")
        if section in rank:
            settings[option] = str(ast.literal_eval(value))
    for option in ("index-url", "extra-index-url", "find-links", "cert", "proxy"):
        if value := os.environ.get("PIP_" + option.upper().replace("-", "_"), ""):
            settings[option] = value
    return settings


def request_options() -> dict[str, Any]:
    """Return the keyword arguments of every request: pip's certificates and proxy, else the system's."""
    settings = read_pip_settings()
    certificates = settings.get("cert") or ssl.get_default_verify_paths().cafile
    options = {"verify": certificates} if certificates else {}
    proxies = {"proxies": dict.fromkeys(("http", "https"), settings["proxy"])} if "proxy" in settings else {}
    return {"timeout": TIMEOUT, "headers": HEADERS, **options, **proxies}


def explain(error: Exception) -> str:
    """Say in a few words why a request failed: an HTTP status, or the reason at the end of a chain of errors."""
    if (response := getattr(error, "response", None)) is not None:
        return f"HTTP {response.status_code} {response.reason}"
    cause = error.args[0] if error.args and not getattr(error, "strerror", None) else error
    return str(getattr(cause, "reason", cause)).rpartition(": ")[2].strip("')\"")


def find_pypi_archives(name: str, version: str, reasons: list[str]) -> Iterator[str]:
    """Yield the places of a release's archives, source archives first in each of pip's indexes.

    Mirrors, extra indexes and folders of archives are among them; `reasons` gets why an index has none.
    """
    settings = read_pip_settings()
    project = re.sub(r"[-_.]+", "-", name).lower()
    pages = settings.get("find-links", "").split()
    if settings.get("no-index", "").lower() not in ("1", "true", "yes"):
        indexes = [settings.get("index-url", PYPI), *settings.get("extra-index-url", "").split()]
        pages += [f"{url.rstrip('/')}/{project}/" for url in indexes]
    for page in pages:
        try:
            archives = [link for link in _list_links(page) if _is_release(link, project, version)]
        except (OSError, ValueError) as error:  # requests' exceptions are among them
            reasons.append(f"{hide_password(page)}: {explain(error)}")
            continue
        if not archives:
            reasons.append(f"{hide_password(page)}: has no {name}=={version}")
        yield from sorted(archives, key=lambda link: link.endswith(".whl"))


def hide_password(url: str) -> str:
    """Return the URL without a user and password."""
    return re.sub(r"//[^/@]*@", "//", url)


def _list_links(page: str) -> list[str]:
    """List the links of an index page or a folder, as places (`https:...`, `file:PATH`)."""
    if "://" in page and not page.startswith("file:"):
        return [urljoin(page, html.unescape(link)) for link in LINK.findall(_get(page).text)]
    folder = Path(url2pathname(page.removeprefix("file://")))
    index = folder / "index.html"
    if not index.is_file():
        return [f"file:{path.resolve()}" for path in sorted(folder.iterdir())]
    links = [urljoin(index.as_uri(), html.unescape(link)) for link in LINK.findall(index.read_text(encoding="utf-8"))]
    return [f"file:{url2pathname(urlsplit(link).path)}" if link.startswith("file:") else link for link in links]


def _is_release(link: str, project: str, version: str) -> bool:
    file = Path(unquote(urlsplit(link).path)).name
    stem = re.sub(r"\.(tar\.gz|tar\.bz2|tgz|zip|whl)$", "", file)
    if stem == file:
        return False
    stem = "-".join(stem.split("-")[:2]) if file.endswith(".whl") else stem
    return re.sub(r"[-_.]+", "-", stem).lower() == re.sub(r"[-_.]+", "-", f"{project}-{version}").lower()


def find_npm_archives(name: str, version: str, reasons: list[str]) -> Iterator[str]:
    """Yield the URL of a release's archive in the registry that npm is set to use; `reasons` gets why it has none."""
    registry = find_npm_registry(name).rstrip("/")
    try:
        yield str(_get(f"{registry}/{quote(name, safe='@')}/{quote(version)}").json()["dist"]["tarball"])
    except (OSError, LookupError, TypeError, ValueError) as error:
        reasons.append(f"{hide_password(registry)}: {explain(error)}")


def find_npm_registry(name: str) -> str:
    """Return npm's setting `registry` for a package (that of its scope first), from environment and .npmrc files."""
    files = [path for path in map(Path.expanduser, map(Path, NPM_SETTINGS)) if path.is_file()]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    for key in [f"{name.partition('/')[0]}:registry"] * name.startswith("@") + ["registry"]:
        setting = re.search(rf"(?m)^\s*{re.escape(key)}\s*=\s*(\S+)", text)
        value = os.environ.get(f"npm_config_{key}") or os.environ.get(f"NPM_CONFIG_{key.upper()}")
        if value or setting:
            return value or (setting[1] if setting else NPM)
    return NPM


def _get(url: str) -> Any:
    import requests

    response = requests.get(url, **request_options())
    response.raise_for_status()
    return response
