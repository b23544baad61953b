"""Train a variational autoencoder from Python, without DVC or MLflow: `python train_from_python.py [FOLDER]`."""

import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits

import genfoundry

images = torch.from_numpy(load_digits().images).long()[:, None]  # (1797, 1, 8, 8), levels 0 to 16
model = genfoundry.fit("vae", images[:1500], levels=17, steps=300, batch=64, lr=2e-3, seed=1)

for name, estimate in genfoundry.evaluate(model, images[1500:]).items():
    print(f"{name}: {estimate.value:.3f}, 95% interval {estimate.low:.3f} to {estimate.high:.3f}")

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "digits-vae")
print("saved", genfoundry.save(model, folder)[:12])  # safetensors and JSON
again = genfoundry.load(folder)
assert isinstance(again, genfoundry.GenerativeModel)
print(again.sample(4)[:, 0].shape)  # four images
