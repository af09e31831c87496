from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from crossfer.method import CrossLayerLoss, CrossLayerNet, FeatureError, build_model
from crossfer.method.coding import encode
from crossfer.method.contrast import has_direction
from crossfer.method.kmeans import plus_plus
from crossfer.method.losses import soft_cross_entropy
from crossfer.method.model import Output
from reference.clbs import clbs_loss, embedding_vectors
from reference.clfm import clfm_loss
from reference.total_loss import soft_cross_entropy as naive_soft_cross_entropy
from reference.total_loss import total_loss

CLASSES = 3
STAGES = {j: f"encoder.layer{j}." for j in range(1, 5)}


def tiny_net() -> CrossLayerNet:
    return build_model(
        num_classes=CLASSES, image_size=32, in_channels=1, width=4, stem="small", dim=4, grid=4
    ).train()


def loss_of(net: CrossLayerNet, **options: object) -> CrossLayerLoss:
    given = {"lambdas": (0.1, 0.1, 0.1)} | options
    return CrossLayerLoss(num_classes=CLASSES, channels=net.encoder.channels, embedding_dim=4, **given)


def targets(batch: int) -> torch.Tensor:
    return torch.rand(batch, CLASSES).softmax(dim=1)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def as_double(output: Output) -> Output:
    features, embeddings = (
        [x.detach().double() for x in part] for part in (output.features, output.embeddings)
    )
    rest = (x.detach().double() for x in (output.logits, output.evidence, output.scale_weights))
    logits, evidence, weights = rest
    return Output(logits, evidence, tuple(features), tuple(embeddings), weights)


@pytest.mark.parametrize(("batch", "classes"), [(1, 1), (3, 8), (7, 2)])
def test_soft_cross_entropy_agrees_with_its_naive_twin(batch: int, classes: int) -> None:
    logits, shares = 3 * torch.randn(batch, classes), torch.rand(batch, classes).softmax(dim=1)
    expected = naive_soft_cross_entropy(logits.double().numpy(), shares.double().numpy())
    assert float(soft_cross_entropy(logits, shares)) == pytest.approx(expected, abs=1e-5)


def test_soft_cross_entropy_of_equal_logits_is_log_k_and_its_gradient_is_right() -> None:
    assert float(soft_cross_entropy(torch.zeros(4, 8), targets(4).new_full((4, 8), 1 / 8))) == pytest.approx(
        math.log(8)
    )
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    shares = torch.rand(3, 4, dtype=torch.float64).softmax(dim=1)
    assert torch.autograd.gradcheck(lambda x: soft_cross_entropy(x, shares), logits)


@pytest.mark.parametrize("contrast", ["cosine", "infonce"])
@pytest.mark.parametrize("lambdas", [(0.1, 0.2, 0.3), (0.0, 0.5, 0.0)])
def test_total_agrees_with_its_naive_twin(contrast: str, lambdas: tuple[float, float, float]) -> None:
    net = tiny_net()
    loss = loss_of(net, lambdas=lambdas, contrast=contrast, k_feature_map=2).double()
    output, shares = as_double(net(torch.randn(5, 1, 32, 32))), targets(5).double()
    # Channels with a single live cell are equally near to others of their kind, and rounding would decide.
    output = output._replace(features=tuple(f + 0.1 * torch.rand_like(f) for f in output.features))
    with torch.no_grad():
        found = loss(output, shares, generator())

    g = generator()  # CLFM draws first, then CLBS
    kernel, bias = (p.detach().numpy() for p in (loss.project.conv.weight, loss.project.conv.bias))
    vectors = [embedding_vectors(z.numpy(), kernel, bias) for z in output.embeddings]
    deep = torch.from_numpy(vectors[3] - vectors[3].mean(axis=0))[None]
    codes = encode(output.features[3], 2, "pooled")
    fm_starts = plus_plus(codes, 2, g, has_direction(codes)).numpy()
    bs_start = plus_plus(deep, CLASSES, g)[0].numpy()
    weights = {j: w for j, w in enumerate(lambdas, start=1) if w}
    maps = [f.numpy() for f in output.features]
    fm = {j: clfm_loss(maps[j - 1], maps[3], fm_starts, coding="pooled", contrast=contrast) for j in weights}
    bs = {j: clbs_loss(vectors[j - 1], vectors[3], bs_start, contrast=contrast) for j in weights}
    classification = naive_soft_cross_entropy(output.logits.numpy(), shares.numpy())
    nothing = dict.fromkeys(weights, 0.0)
    assert float(found.classification) == pytest.approx(classification, abs=1e-5)
    assert float(found.feature_map) == pytest.approx(total_loss(0, fm, nothing, weights), abs=1e-5)
    assert float(found.batch) == pytest.approx(total_loss(0, nothing, bs, weights), abs=1e-5)
    assert float(found.total) == pytest.approx(total_loss(classification, fm, bs, weights), abs=1e-5)


def gradients(net: CrossLayerNet) -> dict[int, float]:
    """Largest gradient of the parameters of each stage; 0 where there is none."""
    return {
        j: max(
            0.0 if p.grad is None else float(p.grad.abs().max())
            for name, p in net.named_parameters()
            if name.startswith(prefix)
        )
        for j, prefix in STAGES.items()
    }


@pytest.mark.parametrize("term", ["feature_map", "batch"])
@pytest.mark.parametrize("projection", ["embedding", "stage"])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_each_term_reaches_the_parameters_of_its_stage_and_none_deeper(
    term: str, projection: str, stage: int
) -> None:
    net = tiny_net()
    lambdas = tuple(0.1 * (j == stage) for j in (1, 2, 3))
    loss = loss_of(net, lambdas=lambdas, projection=projection, k_feature_map=2)
    getattr(loss(net(torch.randn(6, 1, 32, 32)), targets(6), generator()), term).backward()
    found = gradients(net)
    assert all(1e-8 < found[j] < math.inf for j in range(1, stage + 1))
    assert all(found[j] == 0 for j in range(stage + 1, 5))


@pytest.mark.parametrize("term", ["feature_map", "batch"])
def test_without_stop_gradient_terms_reach_the_deep_stage(term: str) -> None:
    net = tiny_net()
    loss = loss_of(net, stop_gradient=False, k_feature_map=2)
    getattr(loss(net(torch.randn(6, 1, 32, 32)), targets(6), generator()), term).backward()
    assert 1e-8 < gradients(net)[4] < math.inf


def test_classification_reaches_every_stage() -> None:
    net = tiny_net()
    loss_of(net)(net(torch.randn(6, 1, 32, 32)), targets(6), generator()).classification.backward()
    assert all(1e-8 < value < math.inf for value in gradients(net).values())


@pytest.mark.parametrize("projection", ["embedding", "stage"])
def test_the_projection_is_trained_with_the_model(projection: str) -> None:
    net = tiny_net()
    loss = loss_of(net, projection=projection)
    loss(net(torch.randn(6, 1, 32, 32)), targets(6), generator()).total.backward()
    learning = {
        name: p.grad is not None and bool(p.grad.abs().max() > 0) for name, p in loss.named_parameters()
    }
    assert learning.pop("project.conv.3.weight", False) is False  # the deep stage teaches and is not taught
    assert learning.pop("project.conv.3.bias", False) is False
    # What shifts all samples alike is taken away by centring.
    assert all(found for name, found in learning.items() if name != "project.conv.bias")


def test_a_term_that_is_off_costs_and_holds_nothing() -> None:
    net = tiny_net()
    output, shares = net(torch.randn(4, 1, 32, 32)), targets(4)
    for options in ({"feature_map": False, "batch": False}, {"lambdas": (0.0, 0.0, 0.0)}):
        loss = loss_of(net, **options)
        assert list(loss.parameters()) == []
        terms = loss(output, shares)
        assert terms.feature_map == terms.batch == 0
        assert torch.equal(terms.total, terms.classification)
    assert loss_of(net, batch=False)(output, shares).batch == 0
    assert loss_of(net, feature_map=False)(output, shares).feature_map == 0


@pytest.mark.parametrize(
    ("option", "value"),
    [("contrast", "cosine"), ("temperature", 0.7), ("target", "permuted"), ("target", "random")],
)
@pytest.mark.parametrize("term", ["feature_map", "batch"])
def test_how_stages_are_compared_holds_for_both_terms(option: str, value: object, term: str) -> None:
    net = tiny_net()
    output, shares = net(torch.randn(6, 1, 32, 32)), targets(6)
    alone = {"k_feature_map": 2, "feature_map": term == "feature_map", "batch": term == "batch"}
    usual, other = loss_of(net, **alone), loss_of(net, **alone, **{option: value})
    other.load_state_dict(usual.state_dict())
    ours, theirs = (getattr(loss(output, shares, generator()), term) for loss in (usual, other))
    assert (ours - theirs).abs() > 1e-4


def test_deterministic_under_a_generator() -> None:
    net = tiny_net()
    loss, output, shares = loss_of(net), net(torch.randn(6, 1, 32, 32)), targets(6)
    first, again = (loss(output, shares, generator()) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("projection", ["embedding", "stage"])
@pytest.mark.parametrize("coding", ["pooled", "straight_through"])
def test_identical_images_give_finite_losses_and_gradients(
    bfloat16: bool, value: float, projection: str, coding: str
) -> None:
    net = tiny_net()
    loss = loss_of(net, projection=projection, coding=coding, stop_gradient=False)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        terms = loss(net(torch.full((6, 1, 32, 32), value)), targets(6))
    terms.total.backward()
    assert torch.stack(terms).isfinite().all()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


def test_autocast_changes_the_contrast_little() -> None:
    """The contrast itself runs in single precision whatever the precision of the network around it."""
    net = tiny_net()
    loss, output, shares = loss_of(net), net(torch.randn(6, 1, 32, 32)), targets(6)
    plain = loss(output, shares, generator())
    with torch.autocast("cpu", torch.bfloat16):
        autocast = loss(output, shares, generator())
    assert torch.equal(plain.feature_map, autocast.feature_map)
    assert torch.equal(plain.batch, autocast.batch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lambdas": (0.1, 0.1)}, r"three weights >= 0, one a shallow stage, got \(0.1, 0.1\)"),
        ({"lambdas": (0.1, -0.1, 0.1)}, r"got \(0.1, -0.1, 0.1\)"),
        ({"lambdas": (0.1, math.nan, 0.1)}, r"got \(0.1, nan, 0.1\)"),
        ({"projection": "linear"}, "'embedding' or 'stage', got 'linear'"),
        ({"k_feature_map": 0}, "k_feature_map must be at least 1, got 0"),
        ({"k_batch": 0}, "k_batch must be at least 1, got 0"),
        ({"temperature": -1.0}, "temperature must be positive, got -1.0"),
        ({"temperature": math.nan}, "temperature must be positive, got nan"),
        ({"target": "shuffled"}, "target must be 'clusters', 'permuted' or 'random', got 'shuffled'"),
        ({"variant": "fixed"}, "variant must be 'corrected' or 'released', got 'fixed'"),
    ],
)
def test_bad_settings_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loss_of(tiny_net(), **options)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(("part", "name"), [("features", "features"), ("embeddings", "embeddings")])
def test_features_that_are_not_finite_are_named(value: float, part: str, name: str) -> None:
    net = tiny_net()
    output = net(torch.randn(4, 1, 32, 32))
    maps = [x.detach().clone() for x in getattr(output, part)]
    maps[1][0, 0, 0, :2] = value
    with pytest.raises(FeatureError, match=f"{name} of stage 2: expected finite numbers, found 2 of "):
        loss_of(net)(output._replace(**{part: tuple(maps)}), targets(4))


@pytest.mark.parametrize("lambdas", [(0.0, 0.1, 0.0), (0.0, 0.0, 0.0)])
def test_an_empty_batch_is_named(lambdas: tuple[float, float, float]) -> None:
    net = tiny_net().eval()
    with pytest.raises(ValueError, match=r"^expected at least one image, got shape \(0, 3\)$"):
        loss_of(net, lambdas=lambdas)(net(torch.randn(0, 1, 32, 32)), targets(0))


@pytest.mark.parametrize(
    "options", [{}, {"stop_gradient": False}, {"contrast": "cosine"}, {"projection": "stage"}]
)
def test_the_gradient_of_the_whole_loss_is_right(options: dict[str, object]) -> None:
    net = tiny_net()
    loss = loss_of(net, **options, k_feature_map=2).double()
    output, shares = as_double(net(torch.randn(4, 1, 32, 32))), targets(4).double()

    # With stop_gradient the deep maps are no variables of the loss, though its value depends on them.
    last = 3 if options.get("stop_gradient", True) else 4

    def total(logits: torch.Tensor, *maps: torch.Tensor) -> torch.Tensor:
        seen = output._replace(
            logits=logits,
            features=(*maps[:last], *output.features[last:]),
            embeddings=(*maps[last:], *output.embeddings[last:]),
        )
        return loss(seen, shares, generator()).total

    inputs = [x.requires_grad_() for x in (output.logits, *output.features[:last], *output.embeddings[:last])]
    assert torch.autograd.gradcheck(total, inputs, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1e-4, 1.0, 3e2])
def test_features_of_half_precision_give_finite_losses_and_gradients(dtype: torch.dtype, size: float) -> None:
    net = tiny_net()
    output = net(torch.randn(6, 1, 32, 32))
    features, embeddings = (
        [(size * x.detach()).to(dtype).requires_grad_() for x in part]
        for part in (output.features, output.embeddings)
    )
    terms = loss_of(net)(output._replace(features=tuple(features), embeddings=tuple(embeddings)), targets(6))
    (terms.feature_map + terms.batch).backward()
    assert torch.stack(terms).isfinite().all()
    assert all(x.grad.isfinite().all() for x in (*features[:3], *embeddings[:3]))


def test_a_small_batch_is_warned_of_once() -> None:
    net = tiny_net()
    loss, output = loss_of(net, k_batch=9), net(torch.randn(4, 1, 32, 32))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            loss(output, targets(4))
    assert ["9 clusters asked for in a batch of 4; using 4" in str(w.message) for w in caught] == [True]


def compiled(function: Callable[..., Any], backend: str) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler warns about itself
            return torch.compile(function, backend=backend)(*arguments)

    return call


def test_compiled_terms_are_those_of_eager() -> None:
    net = tiny_net()
    loss, output, shares = loss_of(net), net(torch.randn(6, 1, 32, 32)), targets(6)
    found = compiled(loss, "eager")(output, shares, generator())
    for theirs, ours in zip(found, loss(output, shares, generator()), strict=True):
        torch.testing.assert_close(theirs, ours)


@pytest.mark.long
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_compiled_step_gives_the_terms_and_the_gradient_of_eager(backend: str) -> None:
    net = tiny_net()
    loss, images, shares = loss_of(net), torch.randn(6, 1, 32, 32), targets(6)

    def step(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        terms = loss(net(images), shares, generator())
        return torch.stack(terms), torch.autograd.grad(terms.total, net.encoder.conv1.weight)[0]

    for theirs, ours in zip(compiled(step, backend)(images), step(images), strict=True):
        torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-4)
