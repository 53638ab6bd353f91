"""Models: one file per model, with its settings, its class and its source; and their table.

``tam_ulag`` and ``self_mm`` are trained and compared, ``late_fusion`` scores clips for the label
generators. ``multitask`` is what they have in common, of parts in ``encoders``, ``attention`` and
``fusion``, and the units of features in ``standardise``; ``eight_bits`` lets a text encoder
multiply in 8 bits, and ``ensemble`` is several trained networks as one. ``zoo`` has the field's
other models. ``model_settings`` has the settings of all but those, so that they are read without
torch.
"""

import sys
from typing import TYPE_CHECKING, Annotated, Any

from mien.config import Choice
from mien.errors import PluginError
from mien.files.source_code import source_of
from mien.models.model_settings import NetworkConfig, SelfMMConfig, TamUlagConfig
from mien.models.zoo.averaged import averaged_settings as averaged
from mien.models.zoo.clip_means import clip_means_settings as clip_means
from mien.models.zoo.crossmodal import crossmodal_settings as crossmodal
from mien.models.zoo.injected import injected_settings as injected
from mien.models.zoo.recurrent import recurrent_settings as recurrent
from mien.models.zoo.subspaces import subspace_settings as subspaces
from mien.plugins import ConfiguredClass, Registry

if TYPE_CHECKING:
    from mien.models.multitask import ModelInputs, MultimodalModel

__all__ = ["MODELS", "ModelConfig", "ModelEntry", "build_model", "foreign_code", "register_model"]


#: Where the field's models are.
_ZOO = "mien.models.zoo"


class ModelEntry(ConfiguredClass):
    """A model: its settings and its class; ``config, model = entry`` takes it apart.

    Args:
        config: Its settings, a subclass of ``NetworkConfig`` whose ``name`` is that of the model.
        model: Its class, a subclass of ``MultimodalModel`` that is built from its settings and
            ``ModelInputs``; or ``MODULE:NAME``, of one that is imported when it is first needed.
    """

    def __init__(self, config: type[Any], model: type[Any] | str) -> None:  # the table checks both
        super().__init__(config, model)

    @property
    def model(self) -> type[Any]:
        """Its class."""
        return self.built


def _find_fault(name: str, entry: ModelEntry) -> str:
    from mien.models.multitask import MultimodalModel

    config: object = entry.config
    model: object = entry.model
    if not (isinstance(config, type) and issubclass(config, NetworkConfig)):
        return f"its settings are {config!r}, must be a subclass of NetworkConfig"
    if config.model_fields["name"].default != name:
        return f"the setting 'name' of {config.__name__} must be {name!r} by default"
    if not (isinstance(model, type) and issubclass(model, MultimodalModel)):
        return f"its class is {model!r}, must be a subclass of MultimodalModel"
    return ""


#: Every model, by name; other packages bring theirs by entry points of the group ``mien.models``.
MODELS: Registry[ModelEntry] = Registry(
    "model",
    "mien.models",
    ModelEntry,
    {
        "tam_ulag": ModelEntry(TamUlagConfig, "mien.models.tam_ulag:TamUlag"),
        "self_mm": ModelEntry(SelfMMConfig, "mien.models.self_mm:SelfMM"),
        "ridge": ModelEntry(
            clip_means.RidgeConfig, f"{_ZOO}.clip_means.ridge_regression:RidgeRegression"
        ),
        "trees": ModelEntry(
            clip_means.TreesConfig, f"{_ZOO}.clip_means.boosted_trees:BoostedTrees"
        ),
        "ef_lstm": ModelEntry(recurrent.EfLstmConfig, f"{_ZOO}.recurrent.ef_lstm:EfLstm"),
        "lf_dnn": ModelEntry(averaged.LfDnnConfig, f"{_ZOO}.averaged.lf_dnn:LfDnn"),
        "tfn": ModelEntry(averaged.TfnConfig, f"{_ZOO}.averaged.tfn:Tfn"),
        "lmf": ModelEntry(averaged.LmfConfig, f"{_ZOO}.averaged.lmf:Lmf"),
        "mlf_dnn": ModelEntry(averaged.MlfDnnConfig, f"{_ZOO}.averaged.lf_dnn:MlfDnn"),
        "mtfn": ModelEntry(averaged.MtfnConfig, f"{_ZOO}.averaged.tfn:Mtfn"),
        "mlmf": ModelEntry(averaged.MlmfConfig, f"{_ZOO}.averaged.lmf:Mlmf"),
        "mfn": ModelEntry(recurrent.MfnConfig, f"{_ZOO}.recurrent.mfn:Mfn"),
        "graph_mfn": ModelEntry(recurrent.GraphMfnConfig, f"{_ZOO}.recurrent.graph_mfn:GraphMfn"),
        "mult": ModelEntry(crossmodal.MultConfig, f"{_ZOO}.crossmodal.mult:Mult"),
        "tetfn": ModelEntry(crossmodal.TetfnConfig, f"{_ZOO}.crossmodal.tetfn:Tetfn"),
        "almt": ModelEntry(crossmodal.AlmtConfig, f"{_ZOO}.crossmodal.almt:Almt"),
        "tfr_net": ModelEntry(crossmodal.TfrNetConfig, f"{_ZOO}.crossmodal.tfr_net:TfrNet"),
        "misa": ModelEntry(subspaces.MisaConfig, f"{_ZOO}.subspaces.misa:Misa"),
        "mmim": ModelEntry(subspaces.MmimConfig, f"{_ZOO}.subspaces.mmim:Mmim"),
        "bert_mag": ModelEntry(injected.BertMagConfig, f"{_ZOO}.injected.bert_mag:BertMag"),
        "cenet": ModelEntry(injected.CenetConfig, f"{_ZOO}.injected.cenet:Cenet"),
    },
    check=_find_fault,
)

#: The settings of any model, told apart by their ``name``.
ModelConfig = Annotated[
    NetworkConfig, Choice(MODELS, lambda entry: entry.config, tag="name", default="tam_ulag")
]


def register_model(name: str, config_class: type[NetworkConfig], model_class: type[Any]) -> None:
    """Add a model to the table, for this process and those that train for it.

    Args:
        name: Its name, as ``model.name`` gives it.
        config_class: Its settings.
        model_class: Its class, a subclass of ``MultimodalModel`` that is built from its settings
            and ``ModelInputs``.

    Raises:
        PluginError: If there is such a model already, or the classes are not what they should be.
    """
    MODELS[name] = ModelEntry(config_class, model_class)


def build_model(config: ModelConfig, inputs: "ModelInputs") -> "MultimodalModel":
    """Build the model that ``config`` is the settings of, with heads for the targets of inputs."""
    model: MultimodalModel = MODELS[config.name].model(config, inputs)
    if model.targets:
        model.read_targets_from(model.state_sizes)
    return model


def foreign_code(name: str) -> str:
    """Return the source of a model that is not of this package; empty if it is.

    What is computed with a model depends on its code, and on the modules of its own package that it
    imports; a cache that knows the code of this package alone must know this as well.

    Raises:
        PluginError: If the source cannot be read.
    """
    model = MODELS[name].model
    if model.__module__.partition(".")[0] == __name__.partition(".")[0]:
        return ""
    try:
        return source_of(sys.modules[model.__module__])
    except (OSError, TypeError, SyntaxError, UnicodeDecodeError) as error:
        raise PluginError(
            f"the model {name!r} cannot be used in a study: the source of {model.__module__}"
            f".{model.__qualname__} cannot be read; keep it in a file"
        ) from error
