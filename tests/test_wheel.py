"""What is in the wheel: all of the package, the licence and card of the weights, true metadata."""

import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser

import pytest
from pages import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy, without anything from the network."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("pyproject.toml", "DESCRIPTION.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    unneeded = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", copy / "src", ignore=unneeded)
    words = [
        "wheel",
        "--quiet",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        "-w",
        "out",
        ".",
    ]
    subprocess.run([sys.executable, "-m", "pip", *words], cwd=copy, check=True)
    (built,) = (copy / "out").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_every_file_of_the_package_is_in_it(wheel):
    files = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src" / "mien").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {
        "mien/py.typed",
        "mien/weights/default.safetensors",
        "mien/weights/small.safetensors",
        "mien/weights/emotions.safetensors",
    } <= files
    assert files - set(wheel.namelist()) == set()
    assert {name for name in wheel.namelist() if name.startswith("mien/")} == files


def test_card_and_licence_lie_beside_the_weights(wheel):
    card = wheel.read("mien/weights/MODEL_CARD.md").decode()
    licence = wheel.read("mien/weights/LICENSE").decode()
    assert "research and other non-commercial use" in card
    assert "non-commercial purposes only" in " ".join(licence.split())
    for source in ("CMU-MOSI", "CMU-MOSEI", "RAVDESS", "FER+", "Taiwanese", "CREMA-D"):
        assert source in licence
        assert source in card


def test_the_metadata_say_that_the_weights_have_a_licence_of_their_own(wheel, metadata):
    assert metadata["License-Expression"] == "MIT AND LicenseRef-mien-weights"
    named = metadata.get_all("License-File")
    assert named == ["LICENSE", "src/mien/weights/LICENSE"]
    texts = {n: wheel.read(f"mien-{metadata['Version']}.dist-info/licenses/{n}") for n in named}
    assert b"MIT License" in texts["LICENSE"]
    assert texts["src/mien/weights/LICENSE"] == wheel.read("mien/weights/LICENSE")


def test_the_description_has_no_link_that_leads_nowhere_on_another_site(metadata):
    text = metadata.get_payload()
    assert "The weights that come with the package are not" in text
    targets = re.findall(r"\]\(([^)]+)\)|<(\w[^>]+)>", text)
    assert targets
    assert all("".join(pair).startswith("https://") for pair in targets)
