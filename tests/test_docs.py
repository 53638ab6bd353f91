"""What the pages say holds: code runs, commands and settings exist, links lead somewhere.

Every Python block of a page is run, in the order of the page, in an empty folder in which
``stores/planted`` is a small planted corpus. A block that cannot be run stands below a comment
``<!-- not run: WHY -->``. One with a title is the file of that name, which blocks below it import.
"""

import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from pages import FENCE, read_blocks, write_block

from mien.cli.root.application import app
from mien.config import read_settings
from mien.configs import find_config
from mien.corpora import KNOWN
from mien.corpora.planted.corpus import make_planted
from mien.corpora.planted.planted_config import PlantedConfig
from mien.data.store_writer import write_store
from mien.errors import MienError
from mien.extraction.extractors import EXTRACTORS
from mien.labels import GENERATORS
from mien.models import MODELS
from mien.pretrained.encoder_source import DEFAULT_TEXT_ENCODER
from mien.studies.ablation import AblationConfig
from mien.studies.plan import StudyConfig, list_studies, read_study
from mien.training.settings import ExperimentConfig, list_configs, read_config
from mien.tuning.space import read_space

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CARD = ROOT / "src" / "mien" / "weights" / "MODEL_CARD.md"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *CARD.parent.glob("*.md")])
LANGUAGES = {"python", "sh", "toml", "text", "diff"}
SECTIONS = "features|text_encoder|model|labels|train"

_LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?P<target>[^)\s]+)\)")
_INLINE = re.compile(r"`([^`\n]+)`")


BLOCKS = [block for page in PAGES for block in read_blocks(page)]
RUN_PAGES = sorted({b.page for b in BLOCKS if b.language == "python" and b.is_run})
#: What the guides for own models and their like make: not of this package.
OWN = ("corrected_mean", "self_trained", "energy")


def blocks_of(*languages):
    return pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in languages], ids=str)


def pages(names):
    return pytest.mark.parametrize("page", names, ids=lambda p: str(p.relative_to(ROOT)))


def without_blocks(page):
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def test_the_pages_are_found():
    names = {str(page.relative_to(ROOT)) for page in PAGES}
    assert {"docs/index.md", "docs/quickstart.md", "docs/papers.md", "CONTRIBUTING.md"} <= names
    assert {str(page.relative_to(ROOT)) for page in RUN_PAGES} >= {
        "README.md",
        "docs/quickstart.md",
        "docs/howto/add-a-model.md",
        "docs/howto/add-a-corpus.md",
        "docs/howto/python.md",
        "docs/howto/your-own-features.md",
        "docs/howto/watch-a-training.md",
    }


@pages(PAGES)
def test_every_block_says_what_it_is(page):
    assert page.read_text(encoding="utf-8").count("```") == 2 * len(read_blocks(page))
    assert {block.language for block in read_blocks(page)} <= LANGUAGES


@pytest.fixture
def workplace(tmp_path, monkeypatch, tiny_bert):
    """An empty folder with a small planted store, and a small text encoder for English."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(DEFAULT_TEXT_ENCODER, "en", str(tiny_bert))
    write_store(make_planted(PlantedConfig(num_clips=40)), "stores/planted")
    tables = [(table, set(table)) for table in (MODELS, EXTRACTORS, KNOWN)]
    modules = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for table, before in tables:
        for name in set(table) - before:  # a page has registered it
            del table[name]
    for name in set(sys.modules) - modules:  # a page has written it
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.mark.slow
@pages(RUN_PAGES)
@pytest.mark.usefixtures("workplace", "undrawn")
def test_python_of_a_page_runs(page):
    namespace = {"__name__": page.stem}
    for block in read_blocks(page):
        if block.title and "/" not in block.title:
            write_block(block, Path())
        elif block.language == "python" and block.is_run and not block.title:
            code = compile("\n" * block.line + block.text, str(page), "exec")
            exec(code, namespace)  # noqa: S102  # our own pages


def commands_of(block):
    """The commands of a block, one a line; a line that ends in a backslash goes on."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def parse(words):
    """Let the command line parse ``words`` without doing anything; return name and parameters.

    Raises:
        typer.TyperException: If there is no such command or option, or an argument is missing.
    """
    command, context, name = typer.main.get_command(app), None, "mien"
    while words != ["--help"]:
        context = command.make_context(name, list(words), parent=context)
        words = [*getattr(context, "_protected_args", ()), *context.args]
        if not words or not hasattr(command, "resolve_command"):
            return name, context.params
        name, command, words = command.resolve_command(context, words)
    return name, {}


def check_training(config, overrides):
    if config == "corrected_mean-planted":
        return
    if config in list_configs() or (ROOT / config).is_file():
        shipped = config if config in list_configs() else ROOT / config
        read_config(shipped, [o for o in overrides if not o.endswith(OWN)])
    else:
        assert config.endswith(".toml"), f"no settings are called {config!r}"


def check_mien(words):
    name, parameters = parse(words)
    overrides = parameters.get("settings") or []
    if name in {"train", "ablate", "tune"} and parameters:
        for config in parameters.get("configs") or [parameters["config"]]:
            check_training(config, overrides)
    if name == "study" and parameters["name"] is not None:
        options = {key: parameters[key] or [] for key in ("only", "corpora")}
        read_study(parameters["name"], overrides=overrides, **options)
    if name == "planted":
        nested = {o.partition("=")[0]: tomllib.loads(o)[o.partition("=")[0]] for o in overrides}
        read_settings(PlantedConfig, nested)


def check_command(words):
    program = Path(words[0]).name
    if program == "mien":
        check_mien(words[1:])
    elif program.startswith("python") and words[1].endswith(".py"):
        assert (ROOT / words[1]).is_file()
    elif program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets)


@blocks_of("sh")
def test_every_command_exists_with_its_options(block):
    for words in commands_of(block):
        check_command(words)


@pytest.mark.parametrize(
    "line",
    ["trane x", "train", "train tam_ulag-planted --sett a=b", "assets fetch minilm", "info"],
)
def test_a_wrong_command_is_noticed(line):
    with pytest.raises(typer.TyperException):
        check_command(["mien", *line.split()])


def test_a_wrong_setting_of_a_command_is_noticed():
    with pytest.raises(MienError, match=r"did you mean train\.epochs"):
        check_command(["mien", "train", "tam_ulag-planted", "--set", "train.epoch=3"])


@blocks_of("toml")
def test_settings_of_a_page_are_settings(block, tmp_path):
    if block.title == "pyproject.toml":
        return
    values = tomllib.loads(block.text)
    if block.title == "space.toml":
        write_block(block, tmp_path)
        assert read_space(tmp_path / block.title, read_config("tam_ulag-planted")).ranges
        return
    kind = StudyConfig if "question" in values else AblationConfig
    read_settings(kind if "variant" in values else ExperimentConfig, values)


def settings_of(page):
    """Settings that a page names in its text, with a value or without."""
    named = re.compile(rf"(?:--set )?((?:{SECTIONS})\.[a-z0-9_.]+(?:=\S+)?)")
    found = [named.fullmatch(code) for code in _INLINE.findall(without_blocks(page))]
    names = [one[1] for one in found if one and not one[1].endswith(".py")]
    return [name for name in names if not name.endswith(OWN)]


def generator_with(path):
    """A label generator that has a setting, if it is one of the labels."""
    section, _, key = path.partition(".")
    entries = GENERATORS.items() if section == "labels" else ()
    return [f"labels.generator={n}" for n, e in entries if key in e.config.model_fields][:1]


def config_with(path):
    """Settings whose model has a setting: those of TAM-ULAG, or of the first that has it."""
    section, _, key = path.partition(".")
    names = ["tam_ulag-planted", *(list_configs() if section == "model" else ())]
    has = (n for n in names if section != "model" or hasattr(read_config(n).model, key))
    return next(has, names[0])


def look_up(path):
    """Find a setting."""
    values = read_config(config_with(path), generator_with(path)).model_dump()
    for key in path.split("."):
        values = values[key]


@pages([page for page in PAGES if settings_of(page)])
def test_every_setting_that_a_page_names_exists(page):
    for name in settings_of(page):
        path, equals, _ = name.partition("=")
        look_up(path)
        if equals:
            read_config(config_with(path), [*generator_with(path), name])


def anchors_of(page):
    """Where a link into a page can lead: its headings as the pages' builder writes them."""
    inserted = re.fullmatch(r"<!-- insert: (.+\.md) -->\n", page.read_text(encoding="utf-8"))
    page = ROOT / inserted[1] if inserted else page
    headings = re.findall(r"^#+ (.+)$", without_blocks(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


@pages(PAGES)
def test_every_link_leads_somewhere(page):
    for found in _LINK.finditer(without_blocks(page)):
        target, _, anchor = found["target"].partition("#")
        if "://" in target:
            continue
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), found[0]
        if anchor:
            assert anchor in anchors_of(place), found[0]


def sources():
    """Keys of papers in the ``Source:`` paragraphs of the code, with one file that has each."""
    keys = {}
    for folder in ("src", "recipes"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for found in re.finditer(
                r"Source: (.+?)(?:\n\s*\n|\"\"\"|\n\w|\Z)", file.read_text(), re.S
            ):
                keys |= dict.fromkeys(re.findall(r"\b[a-z]+(?:19|20)\d\d\b", found[1]), file.name)
    return keys


def test_every_source_is_in_the_list_of_papers():
    listed = anchors_of(DOCS / "papers.md")
    assert {"sun2024", "yu2021"} <= sources().keys()
    assert {key: file for key, file in sources().items() if key not in listed} == {}


@pytest.mark.parametrize("name", list_configs())
def test_every_shipped_configuration_is_explained(name):
    guides = [*(DOCS / "howto").glob("*.md"), *(DOCS / "reference").glob("*.md")]
    shipped, corpus = find_config(name)
    named = name if corpus is None else shipped.stem  # one of a model's file
    assert any(f"`{named}`" in page.read_text(encoding="utf-8") for page in guides)


@pytest.mark.parametrize("name", list_studies())
def test_every_shipped_study_is_explained(name):
    assert f"`{name}`" in (DOCS / "howto" / "studies.md").read_text(encoding="utf-8")


def test_every_module_is_in_the_reference():
    source = ROOT / "src"
    modules = {
        ".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for file in source.rglob("*.py")
    }
    pages_of_reference = [p.read_text() for p in (DOCS / "reference").glob("*.md")]
    listed = re.findall(r"^::: (\S+)$", "\n".join(pages_of_reference), re.MULTILINE)
    with_parts = re.findall(
        r"^::: (\S+)\n    options:\n      show_submodules: true$",
        "\n".join(pages_of_reference), re.MULTILINE,
    )  # fmt: skip
    listed += [m for m in modules for package in with_parts if m.startswith(f"{package}.")]
    assert len(listed) == len(set(listed))
    assert modules - set(listed) == {"mien", "mien.__main__"}
    assert set(listed) <= modules


def test_a_package_has_a_page_of_its_own_in_the_reference():
    for package in (path.parent for path in (ROOT / "src" / "mien").glob("*/__init__.py")):
        page = (DOCS / "reference" / f"{package.name}.md").read_text(encoding="utf-8")
        listed = re.findall(r"^::: mien\.(\w+)", page, re.MULTILINE)
        assert set(listed) == {package.name}


@pages(PAGES)
def test_a_pinned_package_has_the_version_that_is_tested(page):
    tested = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = re.findall(r"pip install (\S+==\S+)", page.read_text(encoding="utf-8"))
    assert set(pins) <= set(tested)


def test_the_system_libraries_of_the_pages_are_those_of_the_script():
    script = (ROOT / ".ci" / "system").read_text(encoding="utf-8")
    libraries = re.findall(r"^lib\S+\.so\.\d+ (\S+)$", script, re.MULTILINE)
    assert len(libraries) > 5
    for page in ("quickstart.md", "howto/your-own-videos.md"):
        assert " ".join(libraries) in (DOCS / page).read_text(encoding="utf-8")


def test_the_extras_of_the_quickstart_are_those_of_the_package():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (DOCS / "quickstart.md").read_text(encoding="utf-8")
    table = text.partition("| extra |")[2].partition("\n\n")[0]
    named = {one for row in table.splitlines() for one in re.findall(r"`(\w+)`", row.split("|")[1])
             if row.startswith("| `")}  # fmt: skip
    assert named == set(extras["optional-dependencies"]) - {"dev", "docs"}


def test_the_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {project['version']}\n" in citation
    code, _, _ = project["license"].partition(" AND ")  # weights are no software to cite
    assert f"license: {code}\n" in citation


MERGED = [*PAGES, *ROOT.glob("*.toml"), *(ROOT / "docs").glob("*.toml")]


@pytest.mark.parametrize("page", MERGED, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_marks_of_a_merge_are_left(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if re.match(r"(<{7}|>{7}|\|{7})( |$)", line)] == []
