"""What a file says causes no connection: no socket is opened for a name in a checkpoint."""

import json
import os
import subprocess
import sys
from pathlib import Path

from helpers import make_config

from mien.training.checkpoints.checkpoint import read_header, read_tensors, write_tensors
from mien.training.experiment import train

NAME = "nobody-at-all/no-such-model"
#: Opens a checkpoint in every way there is, and reports each address that was looked for.
SCRIPT = """
import json, sys
from pathlib import Path

looked = []

def hook(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        looked.append(f"{event} {args}")

sys.addaudithook(hook)
from mien.errors import MienError
from mien.prediction.network import load_network
from mien.prediction.onnx import export_onnx
from mien.training.experiment import evaluate

encoder, words, run, store = map(Path, sys.argv[1:])
ways = {
    "text encoder": lambda: load_network(encoder),
    "encoder of words": lambda: load_network(words),
    "evaluate": lambda: evaluate(run, store=store),
    "onnx": lambda: export_onnx(encoder, run / "x.onnx"),
}
said = {}
for name, way in ways.items():
    try:
        way()
        said[name] = ""
    except MienError as error:
        said[name] = str(error)
print(json.dumps({"looked": looked, "said": said}))
"""


def alter(path, out, **facts):
    header = read_header(path)
    write_tensors(out, read_tensors(path), {**header, **facts})
    return out


def test_a_name_of_a_hub_in_a_checkpoint_opens_no_connection(tiny_store, tiny_bert, tmp_path):
    text = {"name": str(tiny_bert), "mode": "frozen", "input": "transcript"}
    run = train(make_config(text_encoder=text), tiny_store, tmp_path / "run")
    best = run.seeds[0].best
    header = read_header(best)
    config = {**header["config"], "text_encoder": {**text, "name": NAME}}
    mark = {"text_encoder_fingerprint": f"hub:{NAME}"}
    encoder = alter(best, tmp_path / "encoder.safetensors", text_encoder=NAME, **mark)
    words = alter(best, tmp_path / "words.safetensors", extraction={"encoder": NAME})
    alter(best, best, text_encoder=NAME, config=config, **mark)
    online = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            SCRIPT,
            str(encoder),
            str(words),
            str(run.path),
            str(tiny_store.path),
        ],
        env={**online, "PYTHONPATH": str(Path(__file__).parents[1] / "src")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = json.loads(done.stdout.splitlines()[-1]) if done.stdout else done.stderr
    assert found["looked"] == []
    for way, sentence in found["said"].items():
        assert f"text encoder {NAME!r} is not on this machine" in sentence, way
