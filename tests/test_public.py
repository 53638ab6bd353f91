"""What ``import mien`` gives: functions that take paths and values alike, and their types."""

import importlib
import inspect
import pydoc
import subprocess
import sys
import types
import typing
from pathlib import Path

import pytest
from fake_runs import write_run
from helpers import make_config, write_tiny_store

import mien
from mien.cli.root.catalogue import COMMANDS
from mien.config import dump_toml
from mien.prediction.predictor import TrainedModel
from mien.training.run_folder import RunFolder, SeedFolder
from mien.training.settings import ExperimentConfig

FUNCTIONS = sorted(mien.__all__)
#: Values that are taken from a path as well.
OPENED = (Path, RunFolder, SeedFolder, mien.Store, ExperimentConfig, mien.Study)
#: Commands, and the public function that does the same.
FUNCTION_OF = {
    "assets": "list_assets",
    "compare": "compare",
    "configs": "list_configs",
    "convert-bert": "convert_bert",
    "evaluate": "evaluate",
    "export": "export_store",
    "export-onnx": "export_onnx",
    "extract": "extract",
    "extractors": "list_extractors",
    "import": "write_store",
    "folds": "write_folds",
    "info": "summarise_store",
    "labels": "report_labels",
    "pack": "pack",
    "planted": "make_planted",
    "predict": "load",
    "report": "write_report",
    "study": "run_study",
    "train": "train",
}
#: Commands for many trainings or tests, and their functions in packages of their own.
FUNCTION_IN = {
    "ablate": ("mien.studies.ablation", "plan_ablation"),
    "robustness": ("mien.studies.robustness.stress_run", "evaluate_robustness"),
    "tune": ("mien.tuning.tune", "tune"),
}
#: Commands that do something in a terminal or for a browser alone.
COMMANDS_ONLY = {"cache", "doctor", "serve"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("public")
    write_run(folder / "a", num_clips=(9, 9, 12))
    write_run(folder / "b", num_clips=(9, 9, 12), error=1.2)
    return folder


@pytest.fixture(scope="module")
def trained(tiny_store, tmp_path_factory):
    """A run that was made from paths alone."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.toml").write_text(dump_toml(make_config(labels={"generator": "copy"})))
    return mien.train(str(folder / "tiny.toml"), str(tiny_store.path), str(folder / "run"))


# --- names ----------------------------------------------------------------------------------------


def test_every_public_name_is_there_and_listed():
    assert set(mien.__all__) < set(dir(mien))
    for name in dir(mien):
        assert getattr(mien, name) is not None
    assert all(inspect.isfunction(getattr(mien, name)) for name in FUNCTIONS)
    classes = set(dir(mien)) - set(FUNCTIONS) - {"__version__"}
    assert all(inspect.isclass(getattr(mien, name)) for name in classes)
    assert classes >= {"Task", "Scale", "Store", "RunFolder", "Prediction", "Score", "TrainedModel",
                     "Predictions", "RunComparison", "MienError", "PlantedConfig"}  # fmt: skip
    with pytest.raises(AttributeError, match="'mien' has no attribute 'trane'"):
        _ = mien.trane


def test_what_functions_return_is_public():
    """A user had to find ``Store`` and ``RunFolder`` in the source to annotate a function."""
    for name in FUNCTIONS:
        returned = typing.get_type_hints(getattr(mien, name))["return"]
        for kind in (returned, *typing.get_args(returned)):
            if inspect.isclass(kind) and kind.__module__.startswith("mien."):
                assert kind in [getattr(mien, public) for public in dir(mien)], name


def test_a_name_is_imported_when_it_is_used():
    code = "import sys, mien; dir(mien), mien.__version__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "pydantic", "torch"} & set(done.stdout.split())


def test_help_begins_with_the_functions_in_the_order_of_use():
    words = mien.__doc__.replace(";", " ").split()
    assert [name for name in FUNCTIONS if name not in words] == []
    shown = pydoc.plain(pydoc.render_doc(mien)).splitlines()
    assert len(shown) < 600
    assert not [line for line in shown if "model_dump" in line]


def test_every_command_has_a_public_function_or_says_that_it_is_alone():
    names = {command.name for command in COMMANDS}
    assert names - COMMANDS_ONLY == FUNCTION_OF.keys() | FUNCTION_IN.keys()
    assert set(FUNCTION_OF.values()) <= set(FUNCTIONS)
    for module, name in FUNCTION_IN.values():
        assert callable(getattr(importlib.import_module(module), name))
        assert ".".join(module.split(".")[:2]) in mien.__doc__
    assert "``mien serve``" in mien.__doc__


# --- paths ----------------------------------------------------------------------------------------


SIGNATURES = {name: getattr(mien, name) for name in FUNCTIONS} | {
    f"TrainedModel.{name}": method
    for name, method in vars(TrainedModel).items()
    if inspect.isfunction(method) and not name.startswith("_")
}


def is_narrow(annotation):
    """Whether a parameter wants an opened value, or a path that is a ``Path`` already."""
    members = [m for m in typing.get_args(annotation) if m is not Ellipsis and m != []]
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    if is_union and any(member in OPENED for member in members):
        return not {str, Path} <= set(members)
    return annotation in OPENED or any(is_narrow(member) for member in members)


@pytest.mark.parametrize("name", SIGNATURES)
def test_no_parameter_wants_a_path_alone(name):
    """``read_table("clips.csv")`` was an AttributeError, and its example did not pass mypy."""
    hints = typing.get_type_hints(SIGNATURES[name])
    hints.pop("return")
    hints.pop("on_error", None)  # a function that is given a path
    assert [parameter for parameter, hint in hints.items() if is_narrow(hint)] == [], name


@pytest.mark.parametrize(
    ("annotation", "narrow"),
    [
        (Path, True),
        (RunFolder, True),
        (Path | None, True),
        (typing.Sequence[RunFolder], True),
        (typing.Mapping[str, Path], True),
        (str | Path, False),
        (RunFolder | str | Path, False),
        (typing.Sequence[mien.Store | str | Path], False),
        (int | None, False),
    ],
)
def test_a_narrow_annotation_is_noticed(annotation, narrow):
    assert is_narrow(annotation) is narrow


def test_runs_are_taken_by_their_paths(runs, undrawn):  # noqa: ARG001
    by_path = mien.compare([str(runs / "a"), runs / "b"])
    assert repr(by_path) == repr(mien.compare([mien.open_run(runs / "a"), RunFolder(runs / "b")]))
    assert mien.write_report(str(runs / "a")) == runs / "a" / "report.md"
    assert mien.evaluate(str(runs / "a")) == mien.evaluate(mien.open_run(runs / "a"))
    assert mien.open_run(run := mien.open_run(str(runs / "a"))) is run
    with pytest.raises(mien.CheckpointError, match=r"nowhere: is not a run folder"):
        mien.compare([str(runs / "a"), str(runs / "nowhere")])


def test_stores_are_taken_by_their_paths(tiny_store):
    assert mien.open_store(tiny_store) is tiny_store
    assert mien.summarise_store(str(tiny_store.path)).name == "tiny"
    assert mien.open_store(str(tiny_store.path)).meta == tiny_store.meta


def test_settings_are_taken_by_name_by_path_and_as_they_are(trained):
    config = mien.read_config("tam_ulag-planted")
    assert mien.read_config(config) is config
    assert mien.read_config(config, ["train.epochs=3"]).train.epochs == 3
    assert config.train.epochs != 3
    again = mien.read_config(trained.path / "config.toml")
    assert again == trained.config == mien.read_config(str(trained.path / "config.toml"))
    with pytest.raises(mien.ConfigError, match=r"did you mean train\.epochs"):
        mien.read_config(config, ["train.epoch=3"])


def test_a_trained_model_is_loaded_from_a_run_a_seed_and_their_paths(trained):
    seed = trained.seeds[0]
    checkpoints = {
        mien.load(source).checkpoint
        for source in (trained, str(trained.path), seed, seed.path, str(seed.best))
    }
    assert checkpoints == {seed.best}


def test_a_training_starts_from_a_run_and_leaves_out_a_store(trained, tiny_store, tmp_path):
    store = write_tiny_store(tmp_path / "other", seed=5, video_prefix="w")
    config = make_config(labels={"generator": "copy"}, train={"epochs": 1})
    run = mien.train(config, store, tmp_path / "run", init=trained, exclude=[tiny_store])
    assert run.environment()["init"]
    assert run.environment()["num_left_out"] == 0


def test_a_table_is_read_by_text_paths_and_a_pair_for_the_scale(tmp_path):
    table = tmp_path / "clips.csv"
    table.write_text("video_id,clip_id,text,label,mode\nv,1,good,2.5,train\n")
    material = mien.read_table(str(table), features={}, name="own", language="en", scale=(-3, 3))
    assert material.corpus.scale == mien.Scale(-3, 3)
    assert mien.write_store(material, str(tmp_path / "own"))[0].labels == {mien.Task.FUSION: 2.5}


def test_settings_that_are_wrong_are_an_error_of_mien():
    with pytest.raises(mien.MienError, match=r"^there is no setting num_clip; did you mean num_c"):
        mien.PlantedConfig(num_clip=3)
    with pytest.raises(mien.ConfigError, match=r"^setting train\.seeds is "):
        mien.ExperimentConfig(train={"seeds": "x"})
