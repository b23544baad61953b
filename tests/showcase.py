"""Fabricated outs of two data sets that show every part of the report: no model is trained, no torch imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from genfoundry import paths
from genfoundry.files import write_json
from genfoundry.reporting import leaderboard
from genfoundry.selection import ledger
from genfoundry.tracking import cost_log

DATA, SERIES = "shapes", "tides <i>&"
GAN, VAE, LINEAR = "gan-shapes", "vae-shapes", "linear-tides"
REASON = "not class-conditional: it draws without a label"
JUDGE = {"digest": "f" * 64, "accuracy": 0.912, "kind": "classes"}
ABSENT = {"bits_per_dim": "no likelihood", "class_accuracy": REASON, "edit_flips": "gives no codes that it decodes"}
SIDE = 8  # pixels of an image


def outs(root: Path) -> Path:
    """Everything that the stages, the ledger and the machine leave behind; the leaderboard's outs too."""
    around = {"frechet_low": 7.9, "frechet_high": 9.1, "frechet_control": 30.0, "neighbour": 0.61}
    gan = {"frechet": 8.5, **around, "precision": 0.71, "recall": 0.32, "n": 1000, "frechet_n": 500}
    vae = {
        "bits_per_dim": 3.61,
        "bits_per_dim_low": 3.586,
        "bits_per_dim_high": 3.634,
        "frechet": 31.25,
        "recall": 0.6,
        "neighbour": 0.42,
    }
    vae |= {"restore_mask_psnr": 21.5, "restore_mask_psnr_low": 21.1, "restore_mask_psnr_high": 21.9}
    vae |= {"nats_per_sample": 160.0, "rate": 40.0, "distortion": 120.0, "reconstruct_psnr": 20.5}
    vae |= {"bits_per_dim_iw": 3.55, "bits_per_dim_iw_low": 3.5, "bits_per_dim_iw_high": 3.6, "iw_k": 64, "iw_n": 200}
    vae |= {"auroc_constant": 0.31, "auroc_constant_corrected": 0.97, "probe_accuracy": 0.84}
    seeds = {"n": 3, "values": {"frechet": [8.5, 9.0, 7.9]}, "spread": {"frechet": 0.55}}
    experiment(root, GAN, gan, likelihood="none", absent=ABSENT, seeds=seeds, passes=1, notes=["collapsed: all alike"])
    health(root, GAN)
    beside = {"median filter": {"restore_mask_psnr": 17.25}, "the raw values": {"probe_accuracy": 0.79}}
    experiment(root, VAE, {**vae, "n": 1000, "frechet_n": 500}, absent={"class_accuracy": REASON}, beside=beside)
    linear = {"nats_per_sample": 30.0, "mae": 12.5, "mae_low": 11.6, "mae_high": 13.4, "n": 20}
    experiment(root, LINEAR, linear, dataset=SERIES, levels=None, likelihood="estimate", judge=None,
               likelihood_note="exact trace, 40 Heun steps")  # fmt: skip
    trivial(root)
    ranked(root)
    pictures(root)
    trials(root, VAE)
    verdict = {"success": True, "expectations": [{"says": "values in range", "column": "min", "split": None}]}
    verdict["expectations"][0]["success"] = True  # type: ignore[index]
    write_json(root / "reports/validation" / f"{DATA}.json", verdict)
    counts = {"train": 8000, "val": 500, "gate": 500, "test": 1000}
    spec = {"shape": [1, SIDE, SIDE], "levels": 17, "classes": 10}
    about = {"modality": "images", "spec": spec, "counts": counts, "digest": "e" * 64}
    write_json(root / paths.prepared(DATA) / "spec.json", about)
    cost_log.record_costs(root, digest(VAE), parameters=123456, train_seconds=75.0, peak_memory_bytes=5e8, device="cpu")
    folders = [root / "reports" / name for name in ("scores", "baselines", "ranking")]
    leaderboard.write(*folders, root / "reports")  # type: ignore[call-arg]
    return root


def digest(name: str) -> str:
    return name.encode().hex().ljust(64, "0")[:64]


def experiment(root: Path, name: str, figures: dict[str, Any], dataset: str = DATA, **card: Any) -> None:
    """An experiment's card, model.json and curves."""
    about = {"experiment": name, "model": name.split("-")[0], "task": f"{name}-task", "dataset": dataset}
    about |= {"digest": digest(name), "data": "e" * 64, "levels": 17, "binarise": None, "likelihood": "bound"}
    about |= {"judge": JUDGE, "seed": 20, "figures": {"test": figures, "val": figures, "gate": figures}, **card}
    write_json(root / "reports/scores" / dataset / name / "card.json", about)
    model = {**{k: about[k] for k in ("model", "dataset", "task", "digest")}, "config": {"width": 8}, "device": "cpu"}
    weights = {"data": "e" * 64, "weights": "a" * 64}
    write_json(root / "models/experiments" / name / "model.json", {**model, "digests": weights})
    rows = [f"fit,{k * 10},0,{5 / k},0.001" for k in range(1, 30)] if dataset == DATA else []
    path = root / "reports/training" / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["phase,step,skipped,loss.model,lr.model", *rows]) + "\n")


def health(root: Path, name: str) -> None:
    """The curves of an adversarial training: two players, their gradient norms, and what the model says of itself."""
    columns = [f"{kind}.{player}" for kind in ("loss", "lr", "grad_norm") for player in ("critic", "generator")]
    columns += ["health.class_share", "health.critic_gap", "health.diversity"]
    rows = [f"fit,{k * 10},0,{1 / k},{2 / k},0.1,0.2,{3 / k},{4 / k},{0.9 if k % 5 == 0 else ''},{1 / k},{1 - 1 / k}"
            for k in range(1, 30)]  # fmt: skip
    text = "\n".join([",".join(["phase", "step", "skipped", *columns]), *rows])
    (root / "reports/training" / f"{name}.csv").write_text(text + "\n")


def trivial(root: Path) -> None:
    """A floor, a ceiling and a compressor, which the VAE loses to."""
    test = {"real-against-real": {"frechet": 0.9}, "pixel-means": {"frechet": 612.0}, "xz": {"bits_per_dim": 3.4}}
    roles = {"real-against-real": "floor", "pixel-means": "ceiling", "xz": "compressor"}
    rows = {n: {"role": roles[n], "likelihood": "none", "figures": {"test": f, "gate": f}} for n, f in test.items()}
    about = {"dataset": DATA, "levels": 17, "binarise": None, "data": "e" * 64, "judge": JUDGE, "rows": rows}
    for name in (f"{GAN}-task", f"{VAE}-task"):
        write_json(root / "reports/baselines" / name / "card.json", {"task": name, **about})


def ranked(root: Path) -> None:
    """Rankings, one of which the seeds do not support, and the decisions: the GAN is a champion, the VAE is not."""
    for name, objective, others in ((GAN, "frechet", [VAE]), (VAE, "bits_per_dim", []), (LINEAR, "mae", [])):
        candidates = [{"experiment": x, "digest": digest(x)} for x in (name, *others)]
        note = f"{GAN} leads {VAE} by 0.2, within two standard deviations" if others else None
        ranking = {"task": f"{name}-task", "objective": objective, "candidates": candidates}
        write_json(root / "reports/ranking" / f"{name}-task.json", {**ranking, "supported": not note, "note": note})
    for name, decision in ((GAN, "champion"), (VAE, "refused")):
        line = {"task": f"{name}-task", "decision": decision, "reason": "<script>alert(1)</script>", "who": "a test"}
        line |= {"experiment": name, "digest": digest(name), "data": "e" * 64, "ranking": "0", "weights": {}}
        line |= {"time": "2026-01-02T03:04:05+00:00", "commit": "c" * 40, "clean": True}
        ledger.append_decision(root / "ledger.jsonl", {**line, "figures": {"candidate": {"frechet": 8.5}}})


def pictures(root: Path) -> None:
    """Panels: generated images are dark, real ones bright, so that a test can tell them apart."""
    noise = np.random.default_rng(0)
    for name in (GAN, VAE):
        for panel in ("samples", "closest", "walk", "restored_mask", "tiles_generated", "tiles_real"):
            base = 150 if panel == "tiles_real" else 20
            sheet = noise.integers(base, base + 100, (8 * SIDE, 8 * SIDE), dtype=np.uint8)
            path = root / "reports/panels" / name / f"{panel}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sheet).save(path)
    (root / "reports/panels" / LINEAR).mkdir(parents=True)
    (root / "reports/panels" / LINEAR / "samples.txt").write_text("</pre><script>alert(2)</script>\n" + "wave " * 200)


def trials(root: Path, name: str) -> None:
    """A finished study of three trials, the last failed."""
    folder = root / "reports/tuning" / name
    folder.mkdir(parents=True)
    lines = [
        {"number": k, "state": "COMPLETE", "value": 3.9 - k / 10, "params": {"lr": 0.01 * (k + 1)}} for k in (0, 1)
    ]
    lines.append({"number": 2, "state": "FAIL", "value": None, "params": {"lr": 1.0}})
    (folder / "trials.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_json(folder / "overlay.json", {"lr": 0.02})
    summary = {"objective": "bits_per_dim", "default": 3.9, "best": 3.8, "gain": 0.1, "steps": 96, "whole": 1200}
    write_json(folder / "summary.json", summary)
