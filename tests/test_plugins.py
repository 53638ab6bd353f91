"""Models, corpora and extractors that other packages bring, and those that a program adds."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from helpers import SIZES, TINY
from running import run_commands

import mien
from mien.corpora import KNOWN, Facts, facts_of, metric_family
from mien.errors import PluginError
from mien.extraction.extractors import EXTRACTORS, ExtractorEntry
from mien.files.source_code import source_of
from mien.models import MODELS, ModelEntry, build_model, foreign_code
from mien.models.multitask import ModelInputs
from mien.models.self_mm import SelfMM, SelfMMConfig
from mien.plugins import Registry, with_added
from mien.types import Modality, Scale

SOURCE = Path(mien.__file__).parents[1]

PACKAGE = """
from typing import Literal

from mien.corpora import Facts
from mien.extraction.extractors import ExtractorEntry
from mien.models import ModelEntry
from mien.models.multitask import MultitaskConfig
from mien.models.self_mm import SelfMM
from mien.types import Modality, Scale


class TwinConfig(MultitaskConfig):
    name: Literal["twin"] = "twin"
    depth: int = 1


class Twin(SelfMM):
    pass


MODEL = ModelEntry(TwinConfig, Twin)
CORPUS = Facts(scale=Scale(-1, 1), language="de", metrics="general")
EXTRACTOR = ExtractorEntry(modality=Modality.AUDIO, summary="a twin", build=lambda _: None)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lay an installed package with entry points on the path; returns the folder."""

    def install(points, *, package="mien-twin", module="mien_twin", code=PACKAGE):
        (tmp_path / f"{module}.py").write_text(code)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"[{group}]\n{name} = {value}\n" for group, name, value in points]
        (info / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, module, raising=False)
        return tmp_path

    yield install
    sys.modules.pop("mien_twin", None)


def numbers(entries=None, **options):
    return Registry("number", "mien.test_numbers", int, entries or {"one": 1}, **options)


def test_a_table_holds_its_own_entries_and_those_added():
    table = numbers()
    table["two"] = 2
    assert dict(table) == {"one": 1, "two": 2}
    assert len(table) == 2
    assert "three" not in table
    with pytest.raises(KeyError):
        table["three"]
    del table["two"]
    assert list(table) == ["one"]


def test_a_name_that_is_taken_is_refused():
    table = numbers()
    table["two"] = 2
    for name in ("one", "two"):
        with pytest.raises(PluginError, match=rf"there is a number '{name}' already"):
            table[name] = 3
    assert dict(table) == {"one": 1, "two": 2}


def test_entries_of_the_package_stay():
    with pytest.raises(KeyError):
        del numbers()["one"]


def test_what_is_no_such_entry_is_refused():
    table = numbers(check=lambda name, entry: "" if entry > 0 else f"{name} must be above 0")
    with pytest.raises(PluginError, match=r"'two' cannot be added: it is a str, must be a int$"):
        table["two"] = "2"
    with pytest.raises(PluginError, match=r"'two' cannot be added: two must be above 0$"):
        table["two"] = -2
    assert list(table) == ["one"]


def test_entries_of_installed_packages_are_found_and_loaded_when_they_are_taken(install):
    install([("mien.test_numbers", "two", "mien_twin:TWO")], code="TWO = 2")
    table = numbers()
    assert list(table) == ["one", "two"]
    assert "two" in table
    assert "mien_twin" not in sys.modules
    assert table["two"] == 2


@pytest.mark.parametrize(
    ("value", "code", "reason"),
    [
        ("mien_twin:TWO", "import nothing_of_that_name", "ModuleNotFoundError: No module named"),
        ("mien_twin:TWO", "1 / 0", "ZeroDivisionError: division by zero"),
        ("mien_twin:THREE", "TWO = 2", "AttributeError: .*THREE"),
        ("mien_twin:TWO", "TWO = 'two'", "it is a str, must be a int"),
    ],
)
def test_a_broken_package_is_a_sentence_that_names_it_and_leaves_the_others(
    install, value, code, reason
):
    install([("mien.test_numbers", "two", value)], code=code)
    table = numbers()
    assert table["one"] == 1
    with pytest.raises(
        PluginError,
        match=rf"^the number 'two' of the package 'mien-twin' \(entry point '{value}'\) cannot "
        rf"be used: {reason}.*; fix it or uninstall it$",
    ):
        table["two"]


def test_two_packages_cannot_bring_the_same_name(install):
    install([("mien.test_numbers", "one", "mien_twin:ONE")], code="ONE = 1")
    with pytest.raises(
        PluginError,
        match=r"^the number 'one' of the package 'mien-twin' .*: there is a number of that name",
    ):
        list(numbers())


class TwinConfig(SelfMMConfig):
    name: Literal["twin"] = "twin"


@pytest.fixture
def forget():
    """Take out of the tables what a test added."""
    before = {id(table): set(table) for table in (MODELS, KNOWN, EXTRACTORS)}
    yield
    for table in (MODELS, KNOWN, EXTRACTORS):
        for name in set(table) - before[id(table)]:
            del table[name]


@pytest.mark.usefixtures("forget")
def test_a_registered_model_is_read_and_built():
    mien.register_model("twin", TwinConfig, SelfMM)
    config = mien.read_config("self_mm-planted", ["model.name=twin"])
    assert isinstance(config.model, TwinConfig)
    assert isinstance(build_model(TwinConfig(**TINY), ModelInputs(sizes=SIZES)), SelfMM)
    with pytest.raises(PluginError, match="there is a model 'twin' already"):
        mien.register_model("twin", TwinConfig, SelfMM)


def test_the_code_of_a_model_of_another_package_is_known(install):
    install([("mien.test_models", "other", "mien_twin:OTHER")], code=OTHER)
    table = Registry("model", "mien.test_models", ModelEntry, {})
    MODELS["other"] = table["other"]
    try:
        assert foreign_code("other") == OTHER
        assert {foreign_code(name) for name in ("tam_ulag", "self_mm")} == {""}
    finally:
        del MODELS["other"]


@pytest.mark.parametrize("changed", ["other/parts.py", "other/deep/__init__.py", "beside.py"])
def test_the_code_of_a_model_is_that_of_all_modules_of_its_package(tmp_path, monkeypatch, changed):
    """A study took runs from the cache that were made before parts of a model were changed."""
    files = {
        "other/__init__.py": "",
        "other/net.py": f"from . import parts\nimport torch, beside\n{OTHER}",
        "other/parts.py": "# coding: latin-1\nfrom other.deep import size  # \xe9\n",
        "other/deep/__init__.py": "size = 1\n",
        "other/unused.py": "",
        "beside.py": "try:\n    from .other import x\nexcept ImportError:\n    import torch\n",
    }
    for name, code in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code, encoding="latin-1")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        net = importlib.import_module("other.net")
        before = source_of(net)
        assert before.startswith(files["other/net.py"])
        assert "torch/__init__" not in before
        (tmp_path / "other/unused.py").write_text("size = 2\n")
        assert source_of(net) == before
        (tmp_path / changed).write_text("size = 2\n")
        assert source_of(net) != before
    finally:
        for name in [n for n in sys.modules if n.partition(".")[0] in ("other", "beside")]:
            del sys.modules[name]


REGISTERING = """
import json, sys
import mien
from mien.corpora import Facts
from mien.types import Scale
from twin_network import Twin, TwinConfig

if __name__ == "__main__":
    mien.register_model("twin", TwinConfig, Twin)
    mien.register_corpus("tiny", Facts(scale=Scale(-1, 1), language="en", metrics="sims"))
    store, out = sys.argv[1:]
    changes = ["model.name=twin", "corpus=tiny", "text_encoder.input=none", "train.epochs=1"]
    config = mien.read_config("self_mm-planted", [*changes, "train.seeds=[1, 2]"])
    run = mien.train(config, store, out, jobs=2)
    print(json.loads((run.path / "seed-1/metrics.json").read_text())["splits"]["test"]["fusion"])
"""


@pytest.mark.slow
def test_processes_that_train_seeds_know_what_a_script_registered(tmp_path, tiny_store):
    """Each ended with a KeyError; metrics of a registered corpus were those of its scale."""
    (tmp_path / "twin_network.py").write_text(PACKAGE)
    (tmp_path / "script.py").write_text(REGISTERING)
    words = [str(tmp_path / "script.py"), str(tiny_store.path), str(tmp_path / "run")]
    result = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "acc2_has0" not in result.stdout
    assert "'acc5'" in result.stdout


@pytest.mark.usefixtures("forget")
def test_a_model_that_other_processes_cannot_import_is_refused_in_a_sentence():
    class TwinLocal(SelfMM):
        pass

    mien.register_model("twin", TwinConfig, TwinLocal)
    with pytest.raises(PluginError, match=r"the model 'twin' cannot be used by other processes"):
        with_added(len, (MODELS, {"twin"}), is_far=False)
    with_added(len, (MODELS, {"tam_ulag"}), is_far=True)


OTHER = PACKAGE.replace("twin", "other") + "\nOTHER = MODEL\n"


@pytest.mark.parametrize(
    ("name", "config", "model", "reason"),
    [
        ("twin", SelfMMConfig, SelfMM, "'name' of SelfMMConfig must be 'twin' by default"),
        ("twin", Facts, SelfMM, "must be a subclass of NetworkConfig"),
        ("twin", TwinConfig, TwinConfig, "must be a subclass of MultimodalModel"),
    ],
)
@pytest.mark.usefixtures("forget")
def test_a_model_of_wrong_classes_is_refused(name, config, model, reason):
    with pytest.raises(PluginError, match=rf"^the model 'twin' cannot be added: .*{reason}"):
        MODELS[name] = ModelEntry(config, model)
    assert "twin" not in MODELS


@pytest.mark.usefixtures("forget")
def test_a_registered_corpus_and_extractor_are_known():
    facts = Facts(scale=Scale(-2, 2), language="de", metrics="sims")
    mien.register_corpus("talks", facts)
    assert facts_of("talks") == facts
    assert metric_family("talks", Scale(-3, 3)) == "sims"
    with pytest.raises(PluginError, match="there is a corpus 'mosi' already"):
        mien.register_corpus("mosi", facts)
    entry = ExtractorEntry(modality=Modality.AUDIO, summary="quiet", build=lambda _: None)
    mien.register_extractor("quiet/1", entry)
    assert EXTRACTORS["quiet/1"] is entry


POINTS = [
    ("mien.models", "twin", "mien_twin:MODEL"),
    ("mien.corpora", "talks", "mien_twin:CORPUS"),
    ("mien.extractors", "twin/1", "mien_twin:EXTRACTOR"),
]


@pytest.mark.slow
def test_the_command_line_knows_what_installed_packages_bring(install, tiny_store):
    folder = install(POINTS)
    words = ["train", "self_mm-planted", "--store", tiny_store.path, "--out", "run"]
    words += ["--set", "model.name=twin"]
    words += ["--set", "text_encoder.input=embeddings", "--set", "train.epochs=1"]
    words += ["--set", "corpus=tiny", "--set", "labels.generator=copy", "--seeds", "1"]
    extractors, done, misspelt, listed = run_commands(
        folder,
        ["extractors"],
        [*words, "--set", "labels.weight=one"],
        [*words, "--set", "model.depht=2"],
        [*words, "--set", "model.name=x"],
        path=[folder, SOURCE],
    )
    assert "a twin" in extractors.out
    assert done.code == 0, done.err
    assert 'name = "twin"' in (folder / "run" / "config.toml").read_text()
    assert misspelt.err.strip().endswith("did you mean model.depth?")
    assert "must be one of 'tam_ulag', 'self_mm', " in listed.err
    assert ", 'twin'" in listed.err


@pytest.mark.slow
def test_the_command_line_says_in_one_sentence_which_package_is_broken(install, tiny_store):
    folder = install(POINTS, code="import nothing_of_that_name")
    words = ["train", "self_mm-planted", "--store", tiny_store.path, "--out", "run"]
    words += ["--set", "model.name=twin"]
    (done,) = run_commands(folder, words, path=[folder, SOURCE])
    assert done.code != 0
    assert done.err.strip() == (
        "mien: the model 'twin' of the package 'mien-twin' (entry point 'mien_twin:MODEL') cannot "
        "be used: ModuleNotFoundError: No module named 'nothing_of_that_name'; fix it or "
        "uninstall it"
    )


def test_every_entry_of_the_package_would_be_accepted():
    for table, kind in ((MODELS, ModelEntry), (KNOWN, Facts), (EXTRACTORS, ExtractorEntry)):
        assert all(isinstance(entry, kind) for entry in table.values())
