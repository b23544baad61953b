"""The pictures and texts that an evaluation leaves of a model, in the order in which a page shows them."""

from __future__ import annotations

from pathlib import Path

from genfoundry.reporting.site.rendering import Panel, picture, text

KNOWN = {  # file -> title, description
    "samples": ("Samples", "drawn from the model, with the same seed for every model"),
    "continued": ("Continuation", "test items: the given part, the model's continuation, the true one"),
    "translations": ("Translations", "test items: source, the model's translation, true target"),
    "forecast": ("Forecasts", "the last windows of test: past, truth, and the forecast with its interval"),
    "horizons": ("Error by horizon", "of forecasts from every test origin, in seasonal-naive errors on train"),
    "reconstructions": ("Reconstructions", "pairs: a test item and its reconstruction"),
    "analogies": ("Style transfer", "each row: a test item, and its style in every class"),
    "walk": ("Latent walk", "each row leads from one latent code to another"),
    "interpolation": ("Interpolation", "each row: a test item, codes on the line to another's code, the other item"),
    "codes": ("Latent codes", "of test items, on their first two principal components, coloured by class"),
    "edited": ("Latent-space editing", "each row: a test item, its code moved towards another class step by step"),
    "edits": ("Editing trade-off", "identity kept against items that the feature network assigns to the target class"),
    "frechet_by_steps": (
        "Frechet distance by steps",
        "of samples whose differential equation is solved in so many steps; the line: as many training items",
    ),
    "closest": ("Nearest training items", "pairs: a sample and the training item nearest to it"),
    "completed": ("Inpainting", "triples: the given part, the model's completion, the test item"),
}
TILES = ("tiles_generated", "tiles_real")
RESTORED = "restored_"


def panels(folder: Path) -> list[Panel]:
    """Every panel of a folder but the game's tiles; those of `KNOWN` first."""
    order = list(KNOWN)
    # What an evaluation adds later is shown without a change here, behind the known ones.
    names = {p.stem for p in (*folder.glob("*.png"), *folder.glob("*.txt"))} - set(TILES)
    ordered = sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))
    return [shown for name in ordered if (shown := panel(folder, name))]


def panel(folder: Path, name: str, title: str = "", description: str = "") -> Panel | None:
    """A picture or a text; None where the folder has none of that name."""
    default = KNOWN.get(name) or _describe(name)
    title, description = title or default[0], description or default[1]
    return picture(folder / f"{name}.png", title, description) or text(folder / f"{name}.txt", title, description)


def restored(folder: Path) -> list[Panel]:
    """The panels of denoising and inpainting."""
    names = [*sorted(p.stem for p in folder.glob(f"{RESTORED}*.png")), "completed"]
    return [shown for name in names if (shown := panel(folder, name))]


def _describe(name: str) -> tuple[str, str]:
    if name.startswith(RESTORED):
        damage = name.removeprefix(RESTORED).replace("_", " ")
        return f"Restoration, {damage}", "triples: a test item, the same damaged, the model's restoration"
    return name.replace("_", " ").capitalize(), f"the panel {name}"
