"""The server's API, tried from its own description: every answer is one that it announces."""

from multiprocessing import Pipe

import pytest
from served import BOUNDARY, form
from stand_in_models import FACTS, SCALE, StandIn

from mien.prediction.server.app import create_app
from mien.prediction.server.limits import Refused, ServeSettings
from mien.prediction.server.worker_process import Advance, Failure, Loaded, answer_job, draw_job

schemathesis = pytest.importorskip("schemathesis", reason="needs the package schemathesis")

from hypothesis import given, settings  # noqa: E402  # schemathesis brings it
from hypothesis import strategies as st  # noqa: E402
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig  # noqa: E402
from schemathesis.python import asgi  # noqa: E402
from schemathesis.specs.openapi.checks import negative_data_rejection  # noqa: E402

EXAMPLES = 25
ANNOUNCED_FAULTS = {500, 503, 504}
CONFIG = schemathesis.Config(
    projects=ProjectsConfig(
        default=ProjectConfig(
            generation=GenerationConfig(max_examples=EXAMPLES, deterministic=True, database="none")
        )
    )
)
# any address, so that the host which the client names is not looked at; nothing listens
app = create_app(
    ServeSettings(host="0.0.0.0", max_upload_mb=1.0)  # noqa: S104
)
api = schemathesis.openapi.from_dict(app.openapi(), config=CONFIG)
api.app = app


class InProcess:
    """A worker without a process: the app is started anew for every operation."""

    state = "ready"
    loading_seconds = 0.0
    failure = ""
    loaded = Loaded(model=FACTS, scale=SCALE)

    def __init__(self, *_):
        pass

    def start(self):
        pass

    async def stop(self):
        pass

    async def draw(self, job):
        said = draw_job(job)
        if isinstance(said, Failure):
            raise Refused(422, said.detail)
        return said

    async def answer(self, job, on_advance):
        mine, theirs = Pipe()
        with mine, theirs:
            said = answer_job(StandIn(), job, theirs)
            on_advance(mine.recv() if mine.poll() else Advance())
        if isinstance(said, Failure):
            raise Refused(422, said.detail)
        return said


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    monkeypatch.setattr("mien.prediction.server.app.Worker", InProcess)


@api.parametrize()
@settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None)
def test_whatever_is_asked_the_answer_is_one_that_is_announced(case):
    # any value is text once it is written into a form, so one of another type is fine
    is_form = isinstance(case.body, dict) and "transcript" in case.body
    is_text = is_form and not isinstance(case.body["transcript"], str)
    checks = [negative_data_rejection] if is_text else []
    response = case.call_and_validate(excluded_checks=checks)
    assert response.status_code not in ANNOUNCED_FAULTS


def ask(method, path, body, kind):
    with asgi.get_client(app) as client:
        response = client.request(
            method, f"http://testserver{path}", data=body, headers={"Content-Type": kind}
        )
    return response.status_code, response.json()["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/x"])
def test_another_media_type_is_named_as_such(kind):
    status, sentence = ask("POST", "/predict", form(b"fine"), kind)
    assert status == 415
    assert "multipart/form-data" in sentence
    assert ask("POST", "/predict/text", b"so good", kind)[0] == 415


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(data=st.data())
def test_a_broken_form_never_fails_the_server(data):
    whole = form(b"fine", transcript=b"so good")
    start = data.draw(st.integers(0, len(whole) - 3))
    end = data.draw(st.integers(start + 1, len(whole) - 2))
    noise = data.draw(st.binary(max_size=8))
    broken = whole[:start] + noise + whole[end:]
    assert ask_form(broken) in {200, 400, 422}


@pytest.mark.parametrize("left", [0, 1, 30, 100, 200])
def test_a_form_that_breaks_off_is_refused(left):
    assert ask_form(form(b"fine", transcript=b"so good")[:left]) == 400


def ask_form(body):
    with asgi.get_client(app) as client:
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return client.post("http://testserver/predict", data=body, headers=kind).status_code
