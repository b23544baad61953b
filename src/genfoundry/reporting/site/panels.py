"""The pictures and texts of an experiment's panels, in the order in which a person wants them."""

from __future__ import annotations

from pathlib import Path

from genfoundry.reporting.site.render import Picture, Text, picture, text

KNOWN = {  # file -> title, what it shows
    "samples": ("Samples", "drawn from the model; every model from equal seeds"),
    "continued": ("Continuation", "items of test: what is given, what the model goes on with, how it went on"),
    "translations": ("Translations", "items of test: the source, what the model makes of it, the true target"),
    "forecast": ("Forecasts", "the last windows of test: the past, what came, and the forecast with its interval"),
    "horizons": (
        "Errors by horizon",
        "of forecasts from every row of test, in errors of the value a season ago in train",
    ),
    "reconstructions": ("Reconstructions", "pairs: an item of test, and what the model makes of it"),
    "analogies": ("Analogies", "a row: an item of test, and its style in every class"),
    "walk": ("Latent walk", "a row leads from one code to another"),
    "interpolation": (
        "Interpolation",
        "a row: an item of test, what lies on the line to the code of another, the other",
    ),
    "codes": ("Codes", "the test items' codes on their first two principal components, coloured by class"),
    "edited": (
        "Edits",
        "a row: an item of test, and its code moved towards another class, ever farther from strength 0",
    ),
    "edits": ("Edits, how far", "identity kept against items that the judge calls the class asked for"),
    "closest": ("Closest to the training data", "pairs: a sample, and the training item nearest to it"),
    "completed": ("Completion", "threes: what the model is given, what it makes of it, the item of test"),
}
TILES = ("tiles_generated", "tiles_real")
RESTORED = "restored_"


def panels(folder: Path) -> list[Picture | Text]:
    """Every panel of a folder but the game's; the known ones first."""
    names = sorted({p.stem for p in (*folder.glob("*.png"), *folder.glob("*.txt"))} - set(TILES), key=_place)
    return [one for name in names if (one := panel(folder, name))]


def panel(folder: Path, name: str, title: str = "", says: str = "") -> Picture | Text | None:
    """One panel, a picture or a text; None where there is none."""
    known = KNOWN.get(name) or _other(name)
    title, says = title or known[0], says or known[1]
    return picture(folder / f"{name}.png", title, says) or text(folder / f"{name}.txt", title, says)


def restored(folder: Path) -> list[Picture | Text]:
    """The panels of restoration and completion."""
    names = [*sorted(p.stem for p in folder.glob(f"{RESTORED}*.png")), "completed"]
    return [one for name in names if (one := panel(folder, name))]


def _place(name: str) -> tuple[int, str]:
    order = list(KNOWN)
    return (order.index(name) if name in order else len(order)), name


def _other(name: str) -> tuple[str, str]:
    if name.startswith(RESTORED):
        damage = name.removeprefix(RESTORED).replace("_", " ")
        return f"Restoration, {damage}", "threes: an item of test, the same damaged, what the model makes of it"
    return name.replace("_", " ").capitalize(), f"the panel {name}"
