"""What a recipe may say: unknown keys and impossible values are errors before work starts.

Files are read in :mod:`crossfer.train.recipe_file`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from crossfer.data.names import FOUND, OWN, DatasetName, LabelVersion, Protocol
from crossfer.method import losses
from crossfer.method.clbs import Projection
from crossfer.method.coding import Coding
from crossfer.method.contrast import Contrast
from crossfer.method.controls import Target
from crossfer.method.encoder import Stem, feature_sides, stage_channels
from crossfer.method.head import BatchMean, Branch
from crossfer.method.msr import Weighting
from crossfer.models import DEFAULT

Probability = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]
Size = Annotated[int, Field(gt=0)]
# TOML and JSON have neither paths nor tuples: text and lists stand for them, hence strict=False.
File = Annotated[Path, Field(strict=False)]


def _spelt_out(weights: Path) -> Path:
    """The model that ``default`` means today, since another version of crossfer may mean another one."""
    return Path(DEFAULT) if weights == Path("default") and not weights.exists() else weights


Weights = Annotated[File, AfterValidator(_spelt_out)]


class RecipeError(ValueError):
    """A recipe that cannot be used; the message names the key, the value and what is allowed."""


# Keys of [data] that say where it lies and how it is read: they may differ between machines.
OF_THE_MACHINE = frozenset({"root", "memory_gb", "workers"})
READ_FOR_ONE_SET = {
    "protocol": "ferplus",
    "valid_protocol": "ferplus",
    "labels": "ferplus",
    "samples": "synthetic",
}


class Section(BaseModel):
    """A table of the recipe: frozen, closed to unknown keys, and of the very types (1 passes for 1.0)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class DataConfig(Section):
    """What is learnt from."""

    name: Literal[DatasetName, "synthetic"] = Field(
        default="ferplus", description="data set; synthetic faces are drawn, not loaded"
    )
    root: File | None = Field(
        default=None, description="folder, zip or table that holds the data set; `--root` on the command line"
    )
    split_file: File | None = Field(
        default=None, description="cuts validation images out of train where a set has none; relative to here"
    )
    valid_share: Fraction = Field(
        default=0.0,
        description="share of each class cut out of train for validation, where a set has no such split and "
        "no split_file is named; the cut is the same for every seed and is kept in the run's folder",
    )
    classes: str | None = Field(
        default=None,
        description="classes of a folder or table: a label set, or names with commas between; of a folder "
        "also 'found': those whose folders are there",
    )
    protocol: Protocol = Field(default="argmax", description="which FERPlus training images are kept")
    valid_protocol: Protocol = Field(default="majority", description="which FERPlus validation images count")
    labels: LabelVersion = Field(default="fer2013new", description="version of the FERPlus votes")
    target: Literal["votes", "label"] = Field(default="votes", description="soft votes, or the label alone")
    skip_bad: bool = Field(
        default=False, description="leave out and report unreadable images instead of stopping"
    )
    samples: int = Field(default=512, gt=0, description="faces drawn for the synthetic set")
    limit: int | None = Field(
        default=None, gt=0, description="learn from this many training images, the same for every seed"
    )
    class_limit: int | None = Field(
        default=None,
        gt=0,
        description="learn from this many training images of each class at most, the same for every seed",
    )
    memory_gb: float = Field(
        default=4.0,
        ge=0,
        description="most memory for decoded faces; a larger set is streamed from disk",
    )
    workers: int | None = Field(
        default=None, ge=0, description="processes that decode a streamed set; one a core if not given"
    )

    @model_validator(mode="after")
    def _keys_belong_to_the_set(self) -> DataConfig:
        if self.classes is not None and self.name not in OWN:
            raise ValueError(f"classes belongs to name 'folder' and 'table', got it with {self.name!r}")
        if self.name in {"ferplus", "synthetic"}:
            for key in ("split_file", "valid_share"):
                if getattr(self, key):
                    raise ValueError(f"{key}: {self.name!r} has a validation split of its own; leave it out")
        if self.classes == FOUND and self.name != "folder":
            raise ValueError(
                f"classes {FOUND!r} belongs to name 'folder', got it with {self.name!r}; name the classes, "
                "such as data.classes = 'happy, bored'"
            )
        if self.target == "votes" and self.name not in {"ferplus", "table", "synthetic"}:
            raise ValueError(f"target 'votes': {self.name!r} has none; set target = 'label'")
        for key, owner in READ_FOR_ONE_SET.items():
            if self.name != owner and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} belongs to name {owner!r}, got it with {self.name!r}; leave it out")
        return self


class ModelConfig(Section):
    """Sizes of the network, see `crossfer.method.build_model`."""

    image_size: int = Field(default=48, gt=0, description="side of the square input in pixels")
    color: Literal["gray", "rgb"] = Field(default="gray", description="of the input")
    depth: Literal[10, 14, 18, 34] = Field(default=18, description="layers of the ResNet")
    width: int = Field(default=64, gt=0, description="channels of the first stage")
    channels: tuple[Size, Size, Size, Size] | None = Field(
        default=None,
        strict=False,
        description="of the four stages, the first of them `width`; twice as many in each further one if not "
        "given",
    )
    stem: Stem = Field(
        default="small",
        description="'small': 3 x 3 at stride 1, for small inputs; 'standard': 7 x 7 at stride 2",
    )
    dim: int = Field(default=64, gt=0, description="D, channels of an MSR embedding")
    grid: int = Field(default=6, gt=1, description="G, cells a side")
    weighting: Weighting = Field(
        default="adaptive", description="one attention weight for each scale and face, or their plain sum"
    )
    embed_norm: bool = Field(
        default=True, description="batch norm on each embedding; without it one stage drowns the others"
    )
    batch_mean: BatchMean = Field(
        default="running", description="'batch' as released: predictions depend on their batch"
    )
    branch: Branch = Field(
        default="msr+gap", description="what the head sees; 'gap' is a plain ResNet without MSR"
    )
    init: Weights | None = Field(
        default=None,
        description="weights to start from: an embedded model's name, such as 'default', the folder of a "
        "run, or a safetensors file of a whole network or of a ResNet encoder",
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> ModelConfig:
        if self.channels is not None and self.channels[0] != self.width:
            raise ValueError(f"channels must begin with width {self.width}, got {list(self.channels)}")
        side = 2 * feature_sides(self.image_size, self.stem)[0]
        if self.grid > side:
            raise ValueError(f"grid must be at most {side} for image_size {self.image_size}, got {self.grid}")
        return self


class MethodConfig(Section):
    """The cross-layer terms of the loss, see `crossfer.method.CrossLayerLoss`."""

    lambdas: tuple[Weight, Weight, Weight] = Field(
        default=(0.0, 0.1, 0.0), strict=False, description="weights of stages 1, 2, 3"
    )
    feature_map: bool = Field(default=True, description="CLFM")
    batch: bool = Field(default=True, description="CLBS")
    k_feature_map: int = Field(default=4, gt=0, description="clusters of the channels of an image, in CLFM")
    k_batch: int | None = Field(
        default=None, gt=0, description="clusters of the batch, in CLBS; the number of classes if not given"
    )
    coding: Coding = Field(default="pooled", description="what a channel is known by in CLFM")
    contrast: Contrast = Field(
        default="infonce", description="each cluster against the others, or the cosine to its own alone"
    )
    temperature: float = Field(default=0.1, gt=0, description="of InfoNCE")
    stop_gradient: bool = Field(default=True, description="the deep side teaches and is not moved")
    projection: Projection = Field(
        default="embedding", description="CLBS's vectors: from MSR's embeddings, or from the stages' own maps"
    )
    target: Target = Field(
        default="clusters", description="what shallow stages are pulled to; the others are controls"
    )

    @property
    def has_clfm(self) -> bool:
        """Whether CLFM is part of the loss: asked for, and of a weight."""
        return self.feature_map and any(self.lambdas)

    @property
    def has_clbs(self) -> bool:
        """Whether CLBS is part of the loss: asked for, and of a weight."""
        return self.batch and any(self.lambdas)


class ViewsConfig(Section):
    """Learning without labels, see `crossfer.train.views`; read where `objective` is `views`."""

    hidden: int = Field(
        default=128, gt=0, description="hidden values of the projection, which the head gives"
    )
    dim: int = Field(default=128, gt=0, description="of the projection, in which views are compared")
    temperature: float = Field(default=0.2, gt=0, description="of the softmax over the views of a batch")


class DistillConfig(Section):
    """Teachers whose answers are part of the targets, see `crossfer.train.teachers`."""

    teachers: tuple[Weights, ...] = Field(
        default=(),
        strict=False,
        description="embedded models' names, such as 'default', safetensors files of whole networks, or "
        "folders of runs; `--teacher` of crossfer distill",
    )
    share: Probability = Field(
        default=0.5, description="the teachers' part of a target; the rest is what the data set says"
    )
    temperature: float = Field(
        default=1.0, gt=0, description="the teachers' logits are divided by it before the softmax"
    )
    mirror: bool = Field(
        default=False, description="a teacher's answer is the mean over a face and its mirror image"
    )
    teaching: Literal["consistent", "fixed"] = Field(
        default="consistent",
        description="`consistent`: teachers are asked at every step, about the very images that the student "
        "sees; `fixed`: once before the training, about each face as it is, so that a step costs no more "
        "than without them",
    )


class AugmentConfig(Section):
    """Random changes of the training faces, drawn anew for each; ranges are symmetrical around no change."""

    flip: Probability = Field(default=0.5, description="probability of mirroring")
    rotation: float = Field(default=10.0, ge=0, le=180, description="degrees")
    shift: Fraction = Field(default=0.08, description="fraction of the side")
    scale: Fraction = Field(default=0.1, description="factor from 1 - scale to 1 + scale")
    brightness: Fraction = Field(default=0.2, description="added, as a fraction of white")
    contrast: Fraction = Field(
        default=0.2, description="factor from 1 - contrast to 1 + contrast, around the mean of the face"
    )
    low_resolution: Probability = Field(
        default=0.2, description="probability of losing detail: shrunk and enlarged again"
    )
    low_resolution_min: float = Field(
        default=0.4, gt=0, le=1, description="smallest fraction of the side kept by that"
    )
    noise: Probability = Field(default=0.0, description="probability of Gaussian noise")
    noise_std: float = Field(default=0.05, gt=0, le=1, description="its standard deviation, of white")
    erasing: Probability = Field(default=0.3, description="probability of a grey rectangle")
    erasing_area: tuple[Fraction, Fraction] = Field(
        default=(0.02, 0.1), strict=False, description="smallest and largest, as fractions of the face"
    )
    mixup: float = Field(default=0.0, ge=0, description="alpha of the Beta distribution; 0 for none")

    @model_validator(mode="after")
    def _area_is_a_range(self) -> AugmentConfig:
        if self.erasing_area[0] > self.erasing_area[1]:
            raise ValueError(
                f"erasing_area must go from the smaller to the larger fraction, got {list(self.erasing_area)}"
            )
        return self


class OptimConfig(Section):
    """Optimiser and schedule; weights are averaged on the way."""

    optimizer: Literal["sgd", "adam", "adamw"] = Field(
        default="sgd", description="SGD with Nesterov momentum, Adam, or Adam with decoupled weight decay"
    )
    schedule: Literal["cosine", "exponential", "constant"] = Field(
        default="cosine", description="to zero at the last epoch, a factor an epoch, or none"
    )
    decay: float = Field(default=0.9, gt=0, le=1, description="the factor of the exponential schedule")

    epochs: int = Field(default=40, gt=0, description="passes over the training faces")
    batch_size: int = Field(
        default=128, gt=1, le=2**31, description="faces a step learns from, over all ranks"
    )
    accumulate: int = Field(
        default=1, gt=0, description="parts in which a batch is computed one by one, to save memory"
    )
    lr: float = Field(default=0.1, gt=0, le=1e6, description="highest learning rate")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of SGD")
    weight_decay: float = Field(
        default=5e-4, ge=0, le=1e6, description="of matrices and kernels; not of biases and norms"
    )
    warmup_epochs: float = Field(default=1.0, ge=0, description="the learning rate rises from zero in these")
    clip_norm: float = Field(default=5.0, gt=0, description="largest norm of the gradient")
    average: Literal["ema", "swa"] = Field(
        default="ema", description="how weights and statistics are averaged: moving, or all alike at the end"
    )
    ema_decay: float = Field(default=0.999, ge=0, lt=1, description="decay a step of the moving average")
    swa_start: float = Field(
        default=0.75, ge=0, lt=1, description="fraction of the epochs before the equal average begins"
    )
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = Field(
        default="auto", description="of the arithmetic; 'auto' is the fastest that the device does well"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="'auto' is CUDA where there is one"
    )
    compile: bool = Field(default=False, description="torch.compile the network; its start takes a minute")

    @model_validator(mode="after")
    def _parts_are_equal(self) -> OptimConfig:
        if self.batch_size % self.accumulate or self.batch_size == self.accumulate:
            raise ValueError(
                f"accumulate must cut batch_size {self.batch_size} into equal parts of at least 2 faces, "
                f"got {self.accumulate}"
            )
        return self


# What the released code does. A recipe of that variant need not name these, and must not contradict them;
# the weights of the stages are the release's for RAF-DB, and free.
RELEASED: dict[str, dict[str, Any]] = {
    "model": {"weighting": "sum", "embed_norm": False, "batch_mean": "batch", "branch": "msr"},
    "method": {"lambdas": [0.0, 0.1, 0.0], **losses.RELEASED},
}


Objective = Literal["labels", "views"]
BestBy = Literal["accuracy", "mean_class_accuracy"]


class Recipe(Section):
    """One training run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="of the run, and of its folder")
    seed: int = Field(default=0, ge=0, lt=2**32, description="of all that is drawn at random")
    variant: losses.Variant = Field(
        default="corrected", description="'released' computes what the released code does, defects included"
    )
    objective: Objective = Field(
        default="labels",
        description="'views' learns without labels, for other runs to start from: two changed views of a "
        "face are to find one another among those of the batch",
    )
    balance: Probability = Field(
        default=0.0,
        description="of the classes, by logit adjustment: 0 learns how frequent they are among the training "
        "faces, 1 as if all were equally frequent",
    )
    best_by: BestBy = Field(
        default="accuracy",
        description="what the epoch that is kept has the most of, on validation; the mean over the classes "
        "counts a rare one as much as a frequent one",
    )
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    method: MethodConfig = MethodConfig()
    views: ViewsConfig = ViewsConfig()
    distill: DistillConfig = DistillConfig()
    augment: AugmentConfig = AugmentConfig()
    optim: OptimConfig = OptimConfig()

    def outputs(self, classes: int) -> int:
        """What the network's head gives: a value for each class, or what views are compared by."""
        return self.views.hidden if self.objective == "views" else classes

    @model_validator(mode="before")
    @classmethod
    def _released_is_a_preset(cls, document: Any) -> Any:
        if not isinstance(document, dict) or document.get("variant") != "released":
            return document
        filled = dict(document)
        for table, preset in RELEASED.items():
            given = document.get(table, {})
            if not isinstance(given, dict):
                continue  # the table's own check says what is wrong
            for key, value in preset.items():
                if key != "lambdas" and given.get(key, value) != value:
                    raise ValueError(
                        f"variant 'released' means {table}.{key} = {value!r}, got {given[key]!r}; "
                        "leave the key out, or use variant = 'corrected'"
                    )
            filled[table] = preset | given
        return filled

    @model_validator(mode="after")
    def _views_know_no_labels(self) -> Recipe:
        if self.objective == "labels":
            if self.views != ViewsConfig():
                raise ValueError("views belongs to objective 'views', got it with 'labels'; leave it out")
            return self
        refused = {
            "variant": self.variant != "corrected",
            "balance": self.balance > 0,
            "best_by": self.best_by != "accuracy",
            "distill.teachers": bool(self.distill.teachers),
            "augment.mixup": self.augment.mixup > 0,
        }
        for key, given in refused.items():
            if given:
                raise ValueError(f"{key} is for labels, which objective 'views' does without; leave it out")
        return self

    @model_validator(mode="after")
    def _only_the_release_depends_on_the_batch(self) -> Recipe:
        if self.variant == "corrected" and self.model.batch_mean == "batch":
            raise ValueError(
                "model.batch_mean 'batch' makes predictions depend on their batch, as only "
                "variant = 'released' does; use 'running' or 'none'"
            )
        return self

    @model_validator(mode="after")
    def _clbs_has_its_vectors(self) -> Recipe:
        method = self.method
        if method.has_clbs and self.model.branch == "gap" and method.projection == "embedding":
            raise ValueError(
                "method.projection 'embedding' takes CLBS's vectors from MSR, which model.branch 'gap' has "
                "not; use projection = 'stage' or batch = false"
            )
        return self

    @model_validator(mode="after")
    def _warm_up_ends(self) -> Recipe:
        optim = self.optim
        if optim.warmup_epochs > optim.epochs:
            raise ValueError(
                f"optim.warmup_epochs must be at most optim.epochs, {optim.epochs}, or the rate never "
                f"reaches optim.lr; got {optim.warmup_epochs:g}"
            )
        return self

    @model_validator(mode="after")
    def _clusters_have_faces(self) -> Recipe:
        method, optim = self.method, self.optim
        views = 2 if self.objective == "views" else 1
        compared = views * optim.batch_size // optim.accumulate
        if method.has_clbs and (method.k_batch or 0) > compared:
            raise ValueError(
                f"method.k_batch must be at most {compared}, what CLBS compares at once (optim.batch_size "
                f"{optim.batch_size}, optim.accumulate {optim.accumulate}), got {method.k_batch}"
            )
        return self

    @model_validator(mode="after")
    def _clusters_can_be_told_apart(self) -> Recipe:
        method = self.method
        if method.contrast == "cosine" or not any(method.lambdas):
            return self
        for part, key in (("feature_map", "k_feature_map"), ("batch", "k_batch")):
            if getattr(method, part) and getattr(method, key) == 1:
                raise ValueError(
                    f"method.{key} 1 leaves contrast 'infonce' no other cluster to tell its own from, so "
                    f"that the term is always 0; use at least 2, {part} = false, or contrast = 'cosine'"
                )
        return self

    @model_validator(mode="after")
    def _clfm_can_learn(self) -> Recipe:
        if not self.method.has_clfm:
            return self
        if self.variant == "corrected" and self.method.coding == "hash":
            raise ValueError(
                "method.coding 'hash' gives CLFM no gradient; use 'straight_through' or 'pooled', "
                "feature_map = false, or variant = 'released' to see it"
            )
        side = feature_sides(self.model.image_size, self.model.stem)[-1]
        if self.variant == "released" and side < 6:
            raise ValueError(
                f"variant 'released' pools the deep map by 3 and needs at least 6 x 6 cells; "
                f"model.image_size {self.model.image_size} gives {side} x {side}; use a larger image_size"
            )
        if side < 2:
            raise ValueError(
                f"method.feature_map needs a deep map of at least 2 x 2, "
                f"model.image_size {self.model.image_size} gives {side} x {side}"
            )
        deepest = (self.model.channels or stage_channels(self.model.width))[-1]
        if self.method.k_feature_map > deepest:
            raise ValueError(
                f"method.k_feature_map must be at most {deepest}, the channels of the deepest stage, got "
                f"{self.method.k_feature_map}"
            )
        return self


def refuse_in_vain(recipe: Recipe) -> None:
    """Refuse to begin a run whose recipe asks for what other keys of it leave out.

    Not part of reading a recipe: runs of older versions that have one go on, and are exported.

    Raises:
        RecipeError: names key and value, and what to change.
    """
    method, weighted = recipe.method, any(recipe.method.lambdas)
    usual = MethodConfig()
    if weighted and not (method.feature_map or method.batch):
        raise RecipeError(
            f"{recipe.name}: method.lambdas {list(method.lambdas)} weigh no term, since feature_map and "
            "batch are false; make one of them true, or the lambdas [0, 0, 0]"
        )
    if method.contrast == "cosine" and method.temperature != usual.temperature:
        raise RecipeError(
            f"{recipe.name}: method.temperature {method.temperature:g} is that of contrast 'infonce', got it "
            "with 'cosine', which has none; leave it out"
        )
    if not weighted and method.target != usual.target:
        raise RecipeError(
            f"{recipe.name}: method.target {method.target!r} is a control of terms that method.lambdas "
            f"{list(method.lambdas)} leave out; leave it out too, or give a stage a weight"
        )
