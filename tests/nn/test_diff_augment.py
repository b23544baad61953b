from __future__ import annotations

import pytest
import torch

from genfoundry.errors import UserError
from genfoundry.nn.adversarial.augmentation import POLICIES, augment, translate

ALL = ("color", "translation", "cutout")


def images(n: int, channels: int = 3) -> torch.Tensor:
    return 2 * torch.rand(n, channels, 8, 10) - 1


@pytest.mark.parametrize("policy", [*((name,) for name in POLICIES), ALL])
def test_gradients_pass(policy: tuple[str, ...]) -> None:
    """With the draws held, the gradient by the images is that of finite differences."""

    def changed(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(4)
        return augment(x, policy)

    torch.manual_seed(0)
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert changed(x).ne(x).any()
    assert torch.autograd.gradcheck(changed, (x,))


@pytest.mark.parametrize("channels", [1, 3])
def test_identical_distributions_stay_identical(channels: int) -> None:
    """A critic's gap between two augmented halves of one distribution is 0 in expectation; a shifted half shows."""
    torch.manual_seed(0)
    x, weight = images(8000, channels), torch.randn(channels, 8, 10)
    scores = (augment(x, ALL) * weight).tanh().flatten(1).sum(1)  # a critic that is not linear
    real, fake = scores.chunk(2)
    error = (real.var() / len(real) + fake.var() / len(fake)).sqrt()
    assert (real.mean() - fake.mean()).abs() < 3 * error
    moved = (augment(x[4000:] + 0.5 * weight.sign(), ALL) * weight).tanh().flatten(1).sum(1)
    assert moved.mean() - real.mean() > 5 * error


def test_each_image_has_its_own_draws() -> None:
    torch.manual_seed(0)
    x = images(1).expand(40, -1, -1, -1)
    for name in POLICIES:
        assert len(augment(x, (name,)).unique(dim=0)) > 5, name


def test_color_keeps_within_its_range() -> None:
    """A grey image moves by at most half; a lone channel's deviation is scaled by 0.5 to 1.5."""
    torch.manual_seed(0)
    flat = augment(torch.zeros(2000, 3, 2, 2), ("color",)).flatten(1)
    assert flat.min() > -0.5001
    assert flat.max() < 0.5001
    assert flat.std(1).max() < 1e-6  # and stays grey
    x = images(2000, channels=1)
    ratio = augment(x, ("color",)).std((1, 2, 3)) / x.std((1, 2, 3))
    assert 0.4999 < ratio.min() < 0.51
    assert 1.49 < ratio.max() < 1.5001
    x = images(2000)
    ratio = (augment(x, ("color",)).std(1) / x.std(1)).mean((1, 2))  # saturation times contrast
    assert ratio.min() < 0.05
    assert 2.5 < ratio.max() < 3.0001


def test_translation_moves_by_up_to_an_eighth() -> None:
    torch.manual_seed(0)
    x = torch.zeros(500, 1, 16, 24)
    x[:, :, 8, 12] = 1
    at = translate(x).flatten(1).argmax(1)
    assert (at // 24 - 8).unique().tolist() == [-2, -1, 0, 1, 2]
    assert (at % 24 - 12).unique().tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert set(translate(torch.ones(500, 1, 16, 24)).mean((1, 2, 3)).tolist()) >= {1.0}  # 0 where nothing came in
    assert translate(torch.ones(500, 1, 16, 24)).mean((1, 2, 3)).min() == pytest.approx(14 / 16 * 21 / 24)


def test_cutout_takes_up_to_a_quarter() -> None:
    torch.manual_seed(0)
    for size in (8, 9):
        share = (augment(torch.ones(3000, 1, size, size), ("cutout",)) == 0).float().mean((1, 2, 3))
        side = (size + 1) // 2
        assert share.max() == pytest.approx(side**2 / size**2)
        assert share.min() > 0  # its centre is inside


def test_an_unknown_change_is_refused() -> None:
    with pytest.raises(UserError, match="expected names of color, translation, cutout, got 'flip'"):
        augment(images(1), ("flip",))
