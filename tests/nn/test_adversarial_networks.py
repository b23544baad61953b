from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from genfoundry.nn.adversarial.networks import Critic, Generator, count_stages
from genfoundry.nn.adversarial.normalisation import ConditionalBatchNorm, calibrate_batch_norm
from genfoundry.types import Spec

SHAPES = [(1, 8, 8), (3, 7, 9), (1, 28, 28), (3, 32, 32), (1, 48, 48), (3, 64, 50), (1, 128, 128)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_one_class_makes_and_scores_images_of_every_size(shape: tuple[int, ...]) -> None:
    spec = Spec(shape, 256, classes=3)
    generator, critic = Generator(spec, 4, 2, classes=3), Critic(spec, 2, classes=3)
    label = torch.tensor([2, 0])
    x = generator(torch.randn(2, 4), label)
    assert x.shape == (2, *shape)
    assert x.abs().max() <= 1
    assert critic(x, label).shape == (2,)


@pytest.mark.parametrize(
    ("side", "stages"), [(5, 1), (7, 1), (8, 1), (15, 2), (16, 2), (28, 2), (32, 3), (48, 3), (64, 4), (128, 5)]
)
def test_the_smallest_stage_is_4_to_7_pixels(side: int, stages: int) -> None:
    assert count_stages(Spec((1, side, 2 * side), 2)) == stages


def layers_of(critic: Critic) -> list[Tensor]:
    return [m.weight for m in critic.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding)]


def test_power_iterations_give_every_layer_of_the_critic_a_spectral_norm_of_one() -> None:
    torch.manual_seed(0)
    critic = Critic(Spec((3, 16, 16), 256, classes=5), 8, classes=5)
    with torch.no_grad():
        for _ in range(100):  # an iteration each
            critic(torch.zeros(1, 3, 16, 16), torch.tensor([0]))
    critic.eval()
    weights = layers_of(critic)
    assert len(weights) == 4
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1.0, abs=1e-3)


def test_without_spectral_norm_the_critic_has_plain_weights_and_no_normalisation() -> None:
    critic = Critic(Spec((1, 16, 16), 256), 8, spectral=False)
    assert not list(critic.buffers())
    x = torch.randn(3, 1, 16, 16)
    assert torch.allclose(critic(x)[:1], critic(x[:1])), "a score depends on its own image alone"


def test_the_class_term_is_the_projection_of_the_features() -> None:
    torch.manual_seed(0)
    critic = Critic(Spec((1, 8, 8), 2, classes=3), 4, spectral=False, classes=3)
    x, label = torch.randn(3, 1, 8, 8), torch.tensor([2, 0, -1])
    features = critic.features(x).flatten(1)
    assert critic.classes is not None
    psi, v = critic.linear(features).squeeze(1), critic.classes.weight
    products = torch.stack([v[2] @ features[0], v[0] @ features[1], torch.zeros(())])
    assert torch.allclose(critic(x, label), psi + products, atol=1e-5), "eq. 5, and no term unlabelled"


def test_a_class_has_its_own_gain_and_bias() -> None:
    norm = ConditionalBatchNorm(2, classes=3)
    with torch.no_grad():
        norm.gain.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))  # type: ignore[union-attr]
        norm.bias.weight.copy_(torch.tensor([[0.0, 0.0], [10.0, 20.0], [0.0, 0.0]]))  # type: ignore[union-attr]
    x = torch.randn(4, 2, 3, 3)
    plain = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    made = norm(x, torch.tensor([1, 1, 2, 0]))
    assert torch.allclose(made[0, 1], 4 * plain[0, 1] + 20, atol=1e-4)
    assert torch.allclose(made[2, 0], 5 * plain[2, 0], atol=1e-4)
    with pytest.raises(ValueError, match="label: expected classes"):
        norm(x)


def test_calibration_sets_the_statistics_of_the_weights_as_they_are() -> None:
    """Running statistics of other weights are forgotten; the mean over equal batches is that of their union."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 3), nn.Unflatten(1, (3, 1, 1)), nn.BatchNorm2d(3))
    norm, batches = network[2], [torch.randn(64, 2) for _ in range(4)]
    network(100 * torch.randn(64, 2))
    turn = iter(batches)
    calibrate_batch_norm(network, lambda: network(next(turn)), 4)
    whole = network[0](torch.cat(batches))
    assert torch.allclose(norm.running_mean, whole.mean(0), atol=1e-5)
    assert norm.momentum == 0.1
    assert not norm.training
