"""The settings of a run: every section of a settings file, and how a file is read.

What a run alone has is defined here. Sections that have a package of their own are defined there
and joined here: ``[model]`` by the models, ``[labels]`` by the labels, ``[text_encoder]`` by the
data. ``ExperimentConfig`` lists where each is.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from mien.config import Device, Seeds, Settings, apply_overrides, read_settings, read_toml
from mien.configs import describe_configs, find_config, list_configs
from mien.data.text_settings import TextEncoderConfig
from mien.errors import ConfigError, name_known
from mien.labels import GENERATORS, LabelsConfig
from mien.labels.label_settings import FixedConfig, LatentConfig
from mien.models import MODELS, ModelConfig
from mien.models.model_settings import NetworkConfig, TamUlagConfig
from mien.training.targets.target_settings import TargetsConfig
from mien.types import Modality

__all__ = [
    "ExperimentConfig",
    "FeaturesConfig",
    "LearningRates",
    "LossConfig",
    "LostSteps",
    "PublishedRecipe",
    "TrainConfig",
    "WeightDecays",
    "describe_configs",
    "describe_doubts",
    "list_configs",
    "read_config",
    "read_recipe",
    "read_stored_config",
]

#: Settings of all generators, as earlier versions wrote them, whichever generator was used.
_SETTINGS_OF_LABELS = frozenset(
    {
        *("generator", "weight", "warmup_epochs", "zeros", "reach", "expert_size", "temperature"),
        *("folds", "rest", "evidence_epochs", "evidence_patience"),
    }
)


class FeaturesConfig(Settings):
    """Which series of the store are used.

    Attributes:
        audio: Name of the series for audio; ``none`` leaves it out.
        video: Name of the series for video; ``none`` leaves it out.
        max_steps: Longer series are cut to this many steps; 0 for no limit.
        standardise: Against whom audio and video are read: ``train``, all of the training, or
            ``speaker``, what there is of the clip's own speaker, without labels.
        baseline_seconds: Seconds of a speaker that count as much as all of the training; of less,
            the training counts more. For ``speaker`` alone.
    """

    audio: str = "audio"
    video: str = "video"
    max_steps: int = Field(0, ge=0)
    standardise: Literal["train", "speaker"] = "train"
    baseline_seconds: float = Field(20.0, gt=0, le=1e6)


class LearningRates(Settings):
    """Step size of each group of parameters.

    Attributes:
        text: The pretrained text encoder.
        audio: The encoder of audio.
        video: The encoder of video.
        rest: Fusion, attention on text, and the heads.
        labels: The label generator's own parameters.
    """

    text: float = Field(5e-5, ge=0)
    audio: float = Field(1e-3, ge=0)
    video: float = Field(1e-3, ge=0)
    rest: float = Field(1e-3, ge=0)
    labels: float = Field(1e-3, ge=0)


class WeightDecays(Settings):
    """Weight decay of each group of parameters, as in ``LearningRates``.

    Attributes:
        text: Biases and norms have none.
        audio: The encoder of audio.
        video: The encoder of video.
        rest: Fusion, attention on text, and the heads.
        labels: The label generator's own parameters.
    """

    text: float = Field(0.0, ge=0)
    audio: float = Field(0.0, ge=0)
    video: float = Field(0.0, ge=0)
    rest: float = Field(0.0, ge=0)
    labels: float = Field(0.0, ge=0)


class LossConfig(Settings):
    """What is minimised of the difference between a score and its label.

    Attributes:
        error: Its size (``absolute``), or its ``squared`` value.
        fusion: How much the multimodal task counts.
        text: How much the task of text counts, beside ``labels.weight``.
        audio: How much the task of audio counts.
        video: How much the task of video counts.
    """

    error: Literal["absolute", "squared"] = "absolute"
    fusion: float = Field(1.0, gt=0)
    text: float = Field(1.0, ge=0)
    audio: float = Field(1.0, ge=0)
    video: float = Field(1.0, ge=0)


class LostSteps(Settings):
    """Chance of a step, in training, that it is cut out of its series; a series keeps one.

    Attributes:
        text: For tokens, or states of them; the first and the last stay, which are marks.
        audio: For steps of audio.
        video: For steps of video.
    """

    text: float = Field(0.0, ge=0, lt=1)
    audio: float = Field(0.0, ge=0, lt=1)
    video: float = Field(0.0, ge=0, lt=1)

    @property
    def shares(self) -> dict[Modality, float]:
        """The chance of each modality's steps."""
        return {modality: getattr(self, modality) for modality in Modality}


class TrainConfig(Settings):
    """How a model is trained.

    Attributes:
        seeds: One training each; seed of initial weights, dropout and the order of clips, a whole
            number from 0 to 2**63 - 1.
        epochs: Most epochs to run.
        patience: Epochs without a better ``monitor`` before training stops.
        loss: What of the differences between scores and labels is minimised.
        monitor: Validation metric of the multimodal task that picks the best epoch. With further
            targets their losses count as well, each in units of a predictor that says the same of
            every clip.
        batch_size: Clips that are padded and computed together.
        accumulate: Batches of one optimizer step.
        gradient: Whether a step's gradient is the ``mean`` over its clips, or the ``sum`` of the
            means of its batches.
        leftover: What becomes of the clips left when an epoch ends inside a step: ``step`` on
            them, or ``drop`` their gradient.
        group_lengths: Whether the clips of one step are sorted by length into its batches, so that
            less is padded. It changes no gradient where ``gradient`` is ``mean``.
        optimizer: ``adam`` (weight decay as a part of the gradient) or ``adamw``.
        learning_rate: Step size of each group of parameters.
        layer_decay: By what the rate of a layer of the text encoder is multiplied for the one below
            it: the last trained layer has ``learning_rate.text``, those below have less.
        schedule: ``constant``, or ``linear``: rates rise in the first steps and fall to 0 at the
            end of the last of ``epochs``.
        warmup: Share of all steps in which the rates of ``linear`` rise.
        ema_decay: What remains, after a step, of a running average of the weights, which is what
            validation picks and the run keeps in place of the last weights; .99 remembers about
            100 steps. 0 averages nothing.
        weight_decay: Weight decay of each group; biases and norms of the text encoder have none.
        lost_steps: Share of the steps that is cut out of every series, anew in every batch, so that
            the model learns to do without; ``model.modality_dropout`` loses modalities.
        clip_norm: Longest gradient of a step; 0 for no limit.
        device: Where to compute: ``auto`` takes CUDA or MPS where there is one; ``cpu``, ``cuda``,
            one GPU of several such as ``cuda:1``, or ``mps``.
        precision: ``float32``; ``tf32`` on CUDA, which multiplies matrices of float32 with 10 bits
            of mantissa; or ``bf16`` where the device has it.
        threads: CPU threads; 0 takes as many as torch finds cores. Small models are fastest with
            one, and busy machines slow several down; numbers are the same, byte for byte, only with
            the same number. Evidence for labels takes so many processes of one thread instead.
    """

    seeds: Annotated[Seeds, Field(min_length=1)] = (1111,)
    epochs: int = Field(100, ge=1)
    patience: int = Field(8, ge=1)
    loss: LossConfig = LossConfig()
    monitor: Literal["mae", "corr"] = "mae"
    batch_size: int = Field(32, ge=1)
    accumulate: int = Field(4, ge=1)
    gradient: Literal["mean", "sum"] = "mean"
    leftover: Literal["step", "drop"] = "step"
    group_lengths: bool = True
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: LearningRates = LearningRates()
    layer_decay: float = Field(1.0, gt=0, le=1)
    schedule: Literal["constant", "linear"] = "constant"
    warmup: float = Field(0.1, ge=0, lt=1)
    ema_decay: float = Field(0.0, ge=0, lt=1)
    weight_decay: WeightDecays = WeightDecays()
    lost_steps: LostSteps = LostSteps()
    clip_norm: float = Field(0.0, ge=0)
    device: Device = "auto"
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    threads: int = Field(0, ge=0, le=1024)


class ExperimentConfig(Settings):
    """All settings of a run: the sections of a settings file, which has ``corpus`` above them.

    Attributes:
        corpus: Corpus that the settings are meant for; a store of another one is refused.
        features: Which series are used: ``FeaturesConfig``, here.
        text_encoder: Where the states of the text come from: ``TextEncoderConfig``, in
            ``mien.data.text_settings``.
        model: The network: the settings of one of ``mien.models.MODELS``.
        labels: How the unimodal tasks get their labels: the settings of one of
            ``mien.labels.GENERATORS``.
        targets: What is learned besides sentiment: ``TargetsConfig``, in
            ``mien.training.targets.target_settings``.
        train: How it is trained: ``TrainConfig``, here.
    """

    corpus: str | None = None
    features: FeaturesConfig = FeaturesConfig()
    text_encoder: TextEncoderConfig = TextEncoderConfig()
    model: ModelConfig = TamUlagConfig()
    labels: LabelsConfig = LatentConfig()
    targets: TargetsConfig = TargetsConfig()
    train: TrainConfig = TrainConfig()


class PublishedRecipe(Settings):
    """What published results were made with beyond what their settings can fix.

    It is the table ``[published]`` of a settings file, and no setting of a run.

    Attributes:
        text_encoder: Their text encoder, by its name on a model hub.
        ours: Settings of our own for the same model and corpus, made for encoders that are here.
    """

    text_encoder: str
    ours: str


def read_config(
    source: ExperimentConfig | str | Path, overrides: Sequence[str] = ()
) -> ExperimentConfig:
    """Read settings from a file, or by the name of one that comes with the package.

    What a file has under ``[corpora.NAME]`` stands in the place of what is above it if ``corpus``
    is ``NAME``, in the file, by an override, or because the name of the settings ends with it.

    Args:
        source: Path of a TOML file, or a name that ``list_configs`` gives. Settings that were read
            already are taken as they are.
        overrides: ``SECTION.SETTING=VALUE``, as ``--set`` takes them.

    Raises:
        ConfigError: If there is no such file, or a setting is wrong.
    """
    if isinstance(source, ExperimentConfig):
        if not overrides:
            return source
        given = source.model_dump(mode="json", exclude_none=True)
        return read_settings(ExperimentConfig, apply_overrides(given, overrides))
    values: Mapping[str, Any] = {
        name: part for name, part in _read_file(source).items() if name != "published"
    }
    values = _choose_corpus(values, overrides)
    labels = values.get("labels")
    if isinstance(labels, Mapping) and set(labels) >= _SETTINGS_OF_LABELS:
        values = _read_earlier_labels(values)  # the config.toml of a run of an earlier version
    return read_settings(ExperimentConfig, apply_overrides(values, overrides))


def describe_doubts(config: ExperimentConfig, modalities: Container[Modality]) -> Iterator[str]:
    """Yield a sentence for each combination of settings that is seldom meant.

    It is that the first state is all that is read of a text, while nothing trains it: it sums up a
    text where the encoder was trained for that, as most sentence encoders were not.

    Args:
        config: The settings.
        modalities: Those that are read.
    """
    text, model = config.text_encoder, config.model
    is_untrained = text.input == "embeddings" or text.trained_layers == 0
    is_first = Modality.TEXT in modalities and text.summary == "cls"
    if is_untrained and is_first and isinstance(model, NetworkConfig) and model.reads_summary_alone:
        yield (
            f"model {model.name} reads of each text the first state alone "
            "(text_encoder.summary=cls), and nothing trains it to sum up the text; where the "
            "encoder does not come trained for that, text_encoder.summary=mean reads all states"
        )


def read_recipe(source: str | Path) -> PublishedRecipe | None:
    """Read what published results were made with, if a settings file is about published ones.

    Args:
        source: As for ``read_config``.

    Raises:
        ConfigError: If there is no such file, or its table ``[published]`` is wrong.
    """
    values = _read_file(source).get("published")
    return None if values is None else read_settings(PublishedRecipe, values, where="published")


def _read_file(source: str | Path) -> dict[str, Any]:
    path, corpus = Path(source), None
    if not path.is_file():
        shipped = find_config(str(source))
        if shipped is None:
            raise ConfigError(
                f"{str(source)!r} is neither a file nor a known configuration; "
                f"{name_known(str(source), list_configs())}"
            )
        path, corpus = shipped
    values = read_toml(path)
    if corpus is not None:
        values["corpus"] = corpus
    if "variant" in values and "baseline" in values:
        raise ConfigError(f"{path}: is a study, not settings; run it with mien study {source}")
    return values


def _choose_corpus(values: Mapping[str, Any], overrides: Sequence[str]) -> Mapping[str, Any]:
    """Return settings with what is different on their corpus."""
    if "corpora" not in values:
        return values
    common = {name: part for name, part in values.items() if name != "corpora"}
    corpora = values["corpora"]
    chosen = [override for override in overrides if override.split("=")[0].strip() == "corpus"]
    corpus = str(apply_overrides(common, chosen).get("corpus"))
    tables = corpora.values() if isinstance(corpora, Mapping) else [corpora]
    if not all(isinstance(table, Mapping) for table in tables):
        raise ConfigError("setting corpora holds no tables; write [corpora.NAME.SECTION]")
    return _merge(common, corpora.get(corpus, {}))


def _merge(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of which some are replaced, one by one and not section by section."""
    merged = dict(values)
    for name, value in changes.items():
        own = merged.get(name)
        if isinstance(own, Mapping) and isinstance(value, Mapping):
            merged[name] = _merge(own, value)
        else:
            merged[name] = value
    return merged


def read_stored_config(values: Mapping[str, Any]) -> ExperimentConfig:
    """Read settings that a run folder or a checkpoint holds, of this version or an earlier one.

    Earlier versions wrote the settings of all label generators, whichever was used; those that the
    generator does not have are left out. Before there was ``labels.feedback``, it was ``all``;
    before ``model.scored``, ``first``. Labels that stay as they are could have any weight where no
    unimodal task learned from them.

    Raises:
        ConfigError: If a setting is wrong.
    """
    return read_settings(ExperimentConfig, _read_earlier_model(_read_earlier_labels(values)))


def _read_earlier_labels(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out settings that only other generators have, and add what was not a setting yet."""
    labels = values.get("labels")
    entry = GENERATORS.get(str(labels.get("generator"))) if isinstance(labels, Mapping) else None
    if not isinstance(labels, Mapping) or entry is None:
        return values
    others = _SETTINGS_OF_LABELS - set(entry.config.model_fields)
    used = {name: value for name, value in labels.items() if name not in others}
    if "feedback" in entry.config.model_fields:
        used.setdefault("feedback", "all")
    if issubclass(entry.config, FixedConfig):
        used["weight"] = "one"
    return {**values, "labels": used}


def _read_earlier_model(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add what was not a setting of a model yet."""
    model = values.get("model")
    entry = MODELS.get(str(model.get("name"))) if isinstance(model, Mapping) else None
    if not isinstance(model, Mapping) or entry is None or "scored" not in entry.config.model_fields:
        return values
    return {**values, "model": {"scored": "first", **model}}
