from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genfoundry.data.splits.images import ImageSplit
from genfoundry.errors import UserError
from genfoundry.evaluation import judge as evaluation_judge
from genfoundry.evaluation.metrics.frechet import frechet_distance
from genfoundry.evaluation.metrics.kernel_distance import kernel_distance
from genfoundry.models.judge import Judge
from genfoundry.models.stacked_judge import StackedJudge
from genfoundry.types import Batch, Clock, Spec


def test_unlabelled_images_cost_nothing() -> None:
    torch.manual_seed(0)
    model = Judge(Spec((1, 8, 8), 17, classes=3), Judge.Config()).eval()
    x, label = torch.randint(17, (6, 1, 8, 8)), torch.tensor([0, -1, 2, 1, -1, 0])

    def loss(batch: Batch) -> float:
        return next(model.losses(batch, Clock("fit", 0, 1)))["model"].item()

    known = label >= 0
    assert loss(Batch(x, label=label)) == pytest.approx(loss(Batch(x[known], label=label[known])), rel=1e-6)
    assert loss(Batch(x, label=torch.full((6,), -1))) == 0.0


def test_features() -> None:
    model = Judge(Spec((1, 8, 8), 17, classes=3), Judge.Config()).eval()
    features = model.features(torch.randint(17, (6, 1, 8, 8)))
    assert features.shape == (6, 64)


def test_without_labels_it_tells_turns() -> None:
    model = Judge(Spec((1, 6, 6), 17, classes=2, class_counts=(0, 0)), Judge.Config())
    assert model.kind == "rotations"
    x = torch.arange(36).view(1, 1, 6, 6) % 17
    asked = model.prepare_batch(Batch(x, label=torch.tensor([-1])))
    assert asked.label is not None
    for turned, label in zip(asked.x, asked.label, strict=True):
        assert torch.equal(torch.rot90(turned, -int(label), (1, 2)), x[0])
    assert model.classify(asked).shape == (4, 4)
    oblong = Judge(Spec((1, 6, 4), 17), Judge.Config())
    assert oblong.prepare_batch(Batch(torch.zeros(2, 1, 6, 4))).x.shape == (4, 1, 6, 4)
    assert Judge(Spec((1, 6, 6), 17, classes=2, class_counts=(3, 0)), Judge.Config()).kind == "classes"


def test_it_learns_to_tell_turns() -> None:
    from tiny import Loader, settings

    from genfoundry.training.loop import fit

    spec = Spec((1, 8, 8), 17)
    torch.manual_seed(0)
    model = Judge(spec, Judge.Config())
    list(fit(model, Loader(spec), settings(model, 60), key=("turns",)))
    asked = model.eval().prepare_batch(Loader(spec).batch("other", 0))
    assert (model.classify(asked).argmax(1) == asked.label).float().mean() > 0.9  # a ramp shows which way is up


def waves(n: int, seed: int) -> ImageSplit:
    """Grey images (8 x 8, 17 levels) of three classes: waves of three lengths, with a phase and noise."""
    draw = torch.Generator().manual_seed(seed)
    label, phase = torch.arange(n).sort().values * 3 // n, 6.28 * torch.rand((n, 1, 1, 1), generator=draw)
    wave = torch.sin(torch.arange(8).float() * (label[:, None, None, None] + 1) * 0.7 + phase).expand(n, 1, 8, 8)
    x = (8 + 5 * wave + 2 * torch.rand((n, 1, 8, 8), generator=draw)).clamp(0, 16).to(torch.uint8)
    return ImageSplit("train", {"x": x, "label": label}, Spec((1, 8, 8), 17, classes=3))


def of(model: Judge, split: ImageSplit) -> np.ndarray:
    return evaluation_judge.compute_features(model, split.eval_batch(torch.arange(len(split))).x, 17).astype(np.float64)


@pytest.fixture
def train() -> ImageSplit:
    return waves(600, 0)


@pytest.fixture
def judge(train: ImageSplit) -> Judge:
    torch.manual_seed(0)
    model = Judge(train.spec, Judge.Config())
    model.end("fit", train)
    return model


@pytest.mark.parametrize("trained", [True, False])
def test_features_have_mean_0_and_deviation_1_over_train(judge: Judge, train: ImageSplit, trained: bool) -> None:
    found = of(judge if trained else judge.build_control(train), train)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(0), 1, atol=1e-4)


def test_a_frechet_distance_has_the_same_unit_however_large_the_last_weights_are(
    judge: Judge, train: ImageSplit
) -> None:
    def distance() -> float:
        return frechet_distance(of(judge, waves(300, 1)), of(judge, waves(300, 2))[::-1] * 0.9).value

    before = distance()
    with torch.no_grad():
        judge.neck.weight *= 50
        judge.neck.bias += 3
    judge.end("fit", train)
    assert distance() == pytest.approx(before, rel=1e-3)


def test_the_control_tells_noise_from_images(judge: Judge, train: ImageSplit) -> None:
    control = judge.build_control(train)
    one, other = of(control, waves(300, 1)), of(control, waves(300, 2))
    noise = evaluation_judge.compute_features(control, torch.randint(17, (300, 1, 8, 8)), 17).astype(np.float64)
    assert frechet_distance(one, other).value < 0.1 * frechet_distance(noise, other).value
    assert abs(kernel_distance(one, other).value) < 0.1 * kernel_distance(noise, other).value


def test_a_control_is_the_same_every_time(judge: Judge, train: ImageSplit) -> None:
    first = judge.build_control(train).state_dict()
    torch.rand(3)
    assert all(torch.equal(v, first[k]) for k, v in judge.build_control(train).state_dict().items())


def test_a_feature_that_does_not_vary_is_centred_alone(judge: Judge, train: ImageSplit) -> None:
    with torch.no_grad():
        judge.neck.weight[0] = 0
    judge.end("fit", train)
    assert (of(judge, train)[:, 0] == 0).all()


def test_a_class_of_stacked_images_is_the_combination_of_the_channels() -> None:
    spec = Spec((2, 8, 8), 17, classes=9, class_counts=(1,) * 9)
    torch.manual_seed(0)
    model = StackedJudge(spec, Judge.Config(features=5)).eval()
    x = torch.randint(17, (6, 2, 8, 8))
    of_channel = [model.classes(F.relu(Judge._raw_features(model, x[:, c : c + 1]))).softmax(1) for c in (0, 1)]
    p = model.classify(Batch(x)).exp()
    assert torch.allclose(p.sum(1), torch.ones(6))
    for k in range(9):  # the first channel's class is the higher digit
        assert torch.allclose(p[:, k], of_channel[0][:, k // 3] * of_channel[1][:, k % 3], rtol=1e-4)
    features = model.features(x)
    assert features.shape == (6, 10) and torch.equal(features[:, :5], model.features(x.flip(1))[:, 5:])


def test_a_judge_of_stacked_images_learns_classes_of_which_it_saw_one_channel_each() -> None:
    """Every class of the test is a combination that was never trained on."""
    torch.manual_seed(0)
    bars = torch.zeros(3, 8, 8, dtype=torch.long)
    bars[torch.arange(3), torch.arange(3) * 3] = 16

    def batch(of: Tensor) -> Batch:
        noise = torch.randint(3, (len(of), 2, 8, 8))
        return Batch((bars[of] + noise).clamp(0, 16), label=of @ torch.tensor([3, 1]))

    spec = Spec((2, 8, 8), 17, classes=9, class_counts=(1,) * 9)
    model, clock = StackedJudge(spec, Judge.Config()), Clock("fit", 0, 1)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(30):
        same = torch.randint(3, (32, 1)).expand(-1, 2)
        loss = next(model.losses(batch(same), clock))["model"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    asked = batch(torch.tensor([[0, 1], [1, 0], [2, 0], [1, 2]]))
    assert model.eval().classify(asked).argmax(1).tolist() == [1, 3, 6, 5]


def test_classes_need_not_be_all_combinations() -> None:
    model = StackedJudge(Spec((2, 8, 8), 17, classes=5), Judge.Config()).eval()
    assert model.classes.out_features == 3 and model.classify(Batch(torch.zeros(4, 2, 8, 8))).shape == (4, 5)
    with pytest.raises(UserError, match="expected data with 2 or more classes, got 1"):
        StackedJudge(Spec((2, 8, 8), 17, classes=1), Judge.Config())
