"""What the site takes from elsewhere: every command, public name, and the README as index."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import typer

import mien
from mien.cli.root.application import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site():
    """The hook of the site, imported as mkdocs does."""
    sys.path.insert(0, str(DOCS / "extensions"))
    module = importlib.import_module("site_pages")
    yield module
    sys.path.remove(str(DOCS / "extensions"))


def list_commands():
    """Yield the words of every command, those of groups too, with typer's form of it."""
    root = typer.main.get_command(app)
    for name, command in root.commands.items():
        yield f"mien {name}", command
        for inner, child in getattr(command, "commands", {}).items():
            yield f"mien {name} {inner}", child


def test_every_command_is_on_the_page_of_commands_with_its_options(site):
    sections = re.split(r"^## ", site.insert("commands"), flags=re.MULTILINE)
    pages = {section.partition("\n")[0]: section for section in sections[1:]}
    assert pages.keys() == {"mien", *(name for name, _ in list_commands())}
    for name, command in list_commands():
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert parameter.opts[0] in pages[name], (name, parameter.opts)


def test_every_public_name_is_on_the_page_of_the_api_once(site):
    listed = re.findall(r"^::: mien\.(\w+)$", site.insert("public names"), re.MULTILINE)
    assert sorted(listed) == [name for name in sorted(dir(mien)) if not name.startswith("_")]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_a_file_of_the_root_lead_to_pages(site, name):
    text = site.insert(name)
    assert text.startswith("# ")
    for target in re.findall(r"\]\(([^)\s#]+)", text):
        assert "://" in target or (DOCS / target).is_file(), target


def test_a_line_of_a_page_is_replaced(site):
    assert site.on_page_markdown("before\n<!-- insert: README.md -->\n").startswith(
        "before\n# mien\n"
    )
    with pytest.raises(FileNotFoundError):
        site.on_page_markdown("<!-- insert: NOWHERE.md -->")


def test_every_page_is_in_the_navigation():
    named = set(re.findall(r"[\w/.-]+\.md$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - named == set()
