"""Commands and names that pages mention outside their checked blocks exist, and figures agree.

``test_docs.py`` parses the blocks of commands. Here are commands in a sentence, in indented blocks
and in transcripts, options by themselves, programs of ``benchmarks`` and ``recipes`` with their
options, files and modules, and figures that stand on two pages.
"""

import ast
import functools
import re
import tomllib

import pytest
import typer
from pages import FENCE, ROOT

from mien.cli.root.application import app

DOCS = ROOT / "docs"
CARDS = ROOT / "src" / "mien" / "weights"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *CARDS.glob("*.md"), *DOCS.glob("*.toml")])
#: Pages that name options of other programs too.
OF_OTHERS = {
    "coming-from-mertools.md",
    "coming-from-mmsa.md",
    "coming-from-the-released-program.md",
}

_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_PROGRAM = re.compile(r"(?:OMP_NUM_THREADS=\d+ )?python3? ((?:benchmarks|recipes)/[\w/]+\.py)")
_OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z0-9-]*)")
_FILE = re.compile(r"(?:benchmarks|recipes|tests|docs|src)/[\w./-]*\w\.(?:py|toml|md|html)")
_MODULE = re.compile(r"(mien(?:\.\w+)+)(?:\(.*\))?")
#: Files that readers make by following a guide.
MADE = {"src/mien/corpora/NAME.py", "src/mien/models/corrected_mean.py"}


def spans_of(page):
    """What a page sets as code outside its blocks, each in one line."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [" ".join(span.split()) for span in _SPAN.findall(text)]


def lines_of_blocks(page):
    """The lines of the blocks of a page, fenced or indented; continued ones are joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    if page.suffix == ".toml":
        return "\n".join(
            section["commands"] for section in tomllib.loads(text)["section"]
        ).splitlines()
    fenced = [line for block in FENCE.finditer(text) for line in block["text"].splitlines()]
    return fenced + [line for line in FENCE.sub("", text).splitlines() if line.startswith("    ")]


def commands_of(page):
    """Commands of a page: lines of its blocks, and spans of its sentences."""
    lines = [line.strip().removeprefix("$ ") for line in lines_of_blocks(page)]
    spans = spans_of(page) if page.suffix == ".md" else []
    return [
        text for text in [*lines, *spans] if re.match(r"mien [a-z-]", text) or _PROGRAM.match(text)
    ]


@functools.cache
def options_of(*names):
    """The options of a command of mien; None if there is no such command."""
    command = typer.main.get_command(app)
    context = command.make_context("mien", [*names, "--help"], resilient_parsing=True)
    for name in names:
        command = command.get_command(context, name)
        if command is None:
            return None
    texts = (text for p in command.params for text in [*p.opts, *p.secondary_opts])
    return {"--help", "--version", *texts}


@functools.cache
def options_of_program(path):
    """The options of a program, and of those beside it that it imports, by reading them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    options = {"--help"}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="add_argument"), args=arguments):
                options |= {a.value for a in arguments if isinstance(a, ast.Constant)}
            case ast.ImportFrom(module=str(name)) if (path.parent / f"{name}.py").is_file():
                options |= options_of_program(path.parent / f"{name}.py")
    return options


def faults_of(text):
    """What is wrong with a command of a page."""
    program = _PROGRAM.match(text)
    if program:
        if not (ROOT / program[1]).is_file():
            return [program[1]]
        known = options_of_program(ROOT / program[1])
    else:
        words = text.split()[1:]
        if words[0].startswith("-"):
            known = options_of()
        elif words[0] == "assets" and words[1:] and words[1] in {"get", "path"}:
            known = options_of(*words[:2])
        else:
            known = options_of(words[0])
        if known is None:
            return [f"mien {words[0]}"]
    return sorted(set(_OPTION.findall(text)) - known)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_have_the_options_that_it_shows(page):
    faults = {text: wrong for text in commands_of(page) if (wrong := faults_of(text))}
    assert faults == {}


def known_options():
    """Every option of mien, of its groups and of the programs."""
    command = typer.main.get_command(app)
    context = command.make_context("mien", ["--help"], resilient_parsing=True)
    known = set().union(*(options_of(name) for name in command.list_commands(context)))
    known |= options_of() | options_of("assets", "get") | {"--editable"}  # of pip
    programs = [
        path for folder in ("benchmarks", "recipes") for path in (ROOT / folder).rglob("*.py")
    ]
    return known.union(*map(options_of_program, programs))


def test_an_option_in_a_sentence_is_one_of_some_command():
    known, unknown = known_options(), {}
    for page in PAGES:
        if page.suffix != ".md" or page.name in OF_OTHERS:
            continue
        spans = " ".join(span for span in spans_of(page) if span.startswith("--"))
        wrong = set(_OPTION.findall(spans)) - known
        if wrong:
            unknown[str(page.relative_to(ROOT))] = sorted(wrong)
    assert unknown == {}


def names_a_module(path):
    """Whether a dotted name is a module, or a name in one."""
    parts = path.split(".")
    for size in range(len(parts), 0, -1):
        place = (ROOT / "src").joinpath(*parts[:size])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                text = file.read_text(encoding="utf-8")
                return all(re.search(rf"\b{name}\b", text) for name in parts[size:])
    return False


def missing_names(page):
    """Files and modules that a page names and that do not exist."""
    for span in spans_of(page):
        yield from (n for n in _FILE.findall(span) if n not in MADE and not (ROOT / n).exists())
        module = _MODULE.fullmatch(span)
        if module and not names_a_module(module[1]):
            yield module[1]


def test_files_and_modules_that_pages_name_exist():
    pages = [page for page in PAGES if page.suffix == ".md"]
    missing = {page.name: names for page in pages if (names := sorted(missing_names(page)))}
    assert missing == {}


def figures_of(text):
    """Means with their deviations, to three decimals or in percent, as pages write them."""
    figures = re.findall(r"(\d*\.\d{3}|\d\d\.\d\d) ± (\d*\.\d+)", text)
    return {
        " ± ".join(f"{float(part):.{len(part) - part.index('.') - 1}f}" for part in pair)
        for pair in figures
    }


@pytest.mark.parametrize("name", ["README.md", "docs/labels.md", "docs/attention.md"])
def test_figures_of_a_summary_stand_on_a_page_of_results(name):
    written = [DOCS / "results.md", *DOCS.glob("studies/*/index.md")]
    known = figures_of("\n".join(page.read_text(encoding="utf-8") for page in written))
    figures = figures_of((ROOT / name).read_text(encoding="utf-8"))
    assert figures
    assert figures - known == set()


@pytest.mark.parametrize("name", ["results", "model-zoo"])
def test_the_sections_of_the_results_are_those_of_their_plan(name):
    plan = tomllib.loads((DOCS / f"{name}.toml").read_text(encoding="utf-8"))
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    for section in plan["section"]:
        for part in ("text", "commands", "reading"):
            assert section.get(part, "").strip() in page


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("mien train tam_ulag-mosi --seed 1", ["--seed"]),
        ("mien trane x", ["mien trane"]),
        ("mien assets get minilm --from x", ["--from"]),
        ("python benchmarks/step.py --rounds 2 --draws 3", ["--draws"]),
        ("python benchmarks/inference.py --clips 64 --rounds 2", []),
        ("python recipes/zooo.py", ["recipes/zooo.py"]),
    ],
)
def test_a_wrong_command_in_a_sentence_is_noticed(text, wrong):
    assert faults_of(text) == wrong
