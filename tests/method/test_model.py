from __future__ import annotations

import pytest
import torch

from crossfer.method import CrossLayerNet, build_model


def small_net(**options: object) -> CrossLayerNet:
    """A net whose batch statistics and running means are those of some batches, not the initial ones."""
    net = build_model(num_classes=8, in_channels=1, width=4, **options)
    side = options["image_size"]
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(4, 1, side, side) + 1)
    return net


@pytest.mark.parametrize(
    ("size", "stem", "dim", "grid"),
    [(48, "small", 8, 6), (64, "small", 4, 5), (96, "small", 4, 7), (64, "standard", 4, 4)],
)
@pytest.mark.parametrize("weighting", ["adaptive", "sum"])
@pytest.mark.parametrize("batch_mean", ["running", "none"])
def test_prediction_does_not_depend_on_the_batch(
    size: int, stem: str, dim: int, grid: int, weighting: str, batch_mean: str
) -> None:
    net = small_net(
        image_size=size, stem=stem, dim=dim, grid=grid, weighting=weighting, batch_mean=batch_mean
    ).eval()
    a, b = torch.randn(2, 1, 1, size, size)
    with torch.no_grad():
        alone, among = net(a), net(torch.cat([a, 5 * b, b]))
    assert alone.logits.shape == (1, 8)
    assert alone.evidence.shape == (1, 8, grid, grid)
    torch.testing.assert_close(among.logits[:1], alone.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(among.evidence[:1], alone.evidence, atol=1e-4, rtol=1e-4)


def test_a_plain_resnet_is_one_without_msr() -> None:
    net = small_net(image_size=48, stem="small", dim=8, grid=6, branch="gap").eval()
    assert net.msr is None
    assert not [name for name in net.state_dict() if not name.startswith(("encoder.", "head."))]
    with torch.no_grad():
        output = net(torch.randn(2, 1, 48, 48))
    assert output.embeddings == ()
    assert output.scale_weights.shape == (2, 0)
    pooled = output.features[3].mean(dim=(2, 3)) @ net.head.pooled_weight.T + net.head.bias
    torch.testing.assert_close(output.logits, pooled)


def test_while_training_it_does_depend_on_the_batch() -> None:
    """So the test above has something to find."""
    net = small_net(image_size=48, stem="small", dim=8, grid=6).train()
    a, b = torch.randn(2, 2, 1, 48, 48)
    assert (net(torch.cat([a, 5 * b])).logits[:2] - net(a).logits).abs().max() > 1e-3


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("branch", ["msr", "gap", "msr+gap"])
def test_evidence_sums_to_the_logits(bfloat16: bool, training: bool, branch: str) -> None:
    net = small_net(image_size=48, stem="small", dim=8, grid=6, branch=branch).train(training)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        output = net(torch.randn(3, 1, 48, 48))
    assert output.features[0].dtype == (torch.bfloat16 if bfloat16 else torch.float32)
    assert output.logits.dtype == torch.float32
    assert (output.evidence.double().sum(dim=(2, 3)) - output.logits).abs().max() < 1e-5


@pytest.mark.parametrize("value", [0.0, 1e4])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_constant_images_give_finite_outputs(value: float, bfloat16: bool) -> None:
    net = build_model(num_classes=3, image_size=32, in_channels=1, width=4, stem="small", dim=4, grid=4)
    for training in (True, False):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            output = net.train(training)(torch.full((2, 1, 32, 32), value))
        assert output.logits.isfinite().all()
        assert output.evidence.isfinite().all()


def test_an_empty_batch_is_refused_in_training_and_spoils_nothing() -> None:
    net = small_net(image_size=48, stem="small", dim=8, grid=6)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(ValueError, match=r"^expected at least one image, got shape \(0, 1, 48, 48\)$"):
        net(torch.empty(0, 1, 48, 48))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert net.eval()(torch.empty(0, 1, 48, 48)).logits.shape == (0, 8)


def test_the_paper_s_sizes() -> None:
    net = build_model(num_classes=7).eval()
    with torch.no_grad():
        output = net(torch.randn(1, 3, 224, 224))
    assert [tuple(f.shape[1:]) for f in output.features] == [
        (64, 56, 56),
        (128, 28, 28),
        (256, 14, 14),
        (512, 7, 7),
    ]
    assert {tuple(z.shape) for z in output.embeddings} == {(1, 128, 11, 11)}
    assert output.evidence.shape == (1, 7, 11, 11)
    assert output.scale_weights.shape == (1, 4)


def test_nothing_random_happens_at_inference() -> None:
    net = small_net(image_size=48, stem="small", dim=8, grid=6).eval()
    x = torch.randn(2, 1, 48, 48)
    state = torch.get_rng_state()
    first, again = net(x).logits, net(x).logits
    assert torch.equal(first, again)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 50}, "multiple of 16 with the small stem, got 50"),
        ({"image_size": 48, "grid": 49}, "between 1 and the shuffled side 48, got 49"),
        ({"image_size": 48, "branch": "pool"}, r"'gap' or 'msr\+gap', got 'pool'"),
    ],
)
def test_sizes_that_do_not_fit_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(num_classes=2, width=4, stem="small", **options)
