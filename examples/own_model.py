"""A model of your own in a project of your own: `python own_model.py [FOLDER]`. It needs no place in the package."""

import sys

import torch
from torch import nn
from torch.nn import functional as F

from genfoundry import Batch, GenerativeModel, Spec, evaluate, fit, load, save


class IndependentPixels(GenerativeModel):
    """p(x) = prod_i softmax(logits_i)[x_i]: a categorical distribution for every pixel."""

    def __init__(self, spec: Spec, config):
        super().__init__(spec, config)
        self.logits = nn.Parameter(torch.zeros(spec.dims, spec.levels))  # (D, K)

    def measure(self, batch: Batch):
        log_p = F.log_softmax(self.logits, 1).expand(len(batch), -1, -1)  # (B, D, K)
        return {"nll": -log_p.gather(2, batch.x.flatten(1)[..., None]).sum((1, 2))}  # (B,) nats

    def sample(self, n, cond=None, label=None, draw=None):
        x = torch.multinomial(self.logits.softmax(1), n, replacement=True)  # (D, n)
        return x.T.reshape(n, *self.spec.shape)


if __name__ == "__main__":
    ramp = torch.arange(16).view(1, 1, 4, 4) // 4
    images = (ramp + torch.rand(2000, 1, 4, 4) * 2).long()  # (2000, 1, 4, 4), levels 0 to 4
    model = fit(IndependentPixels, images[:1600], levels=5, steps=200, lr=0.1)
    print(evaluate(model, images[1600:])["bits_per_dim"])
    folder = sys.argv[1] if len(sys.argv) > 1 else "own-model"
    save(model, folder)
    print(load(folder, model=IndependentPixels).sample(2).shape)  # the class is named here: no code runs on load
