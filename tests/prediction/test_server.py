"""The server of predictions: what it takes, what it refuses, and what is left behind."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from served import BOUNDARY, form, served

import mien.prediction.server
from mien.cli.serve import announce_state
from mien.errors import ConfigError
from mien.prediction.result import Prediction
from mien.prediction.server.limits import ServeSettings
from mien.prediction.server.server import open_socket

STATIC = Path(mien.prediction.server.__file__).parent / "static"
TICKET = "0123456789abcdef"


@pytest.fixture(scope="module")
def server():
    with served(queue=3, max_upload_mb=1.0, time_limit=2.0, stall_limit=2.0) as one:
        yield one


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    yield
    if "server" in request.fixturenames:
        one = request.getfixturevalue("server")
        one.wait_until(lambda: not list(one.folder.iterdir()))
        one.wait_until(lambda: one.get("/health")["inside"] == 0)


def test_a_recording_is_answered_by_the_whole_prediction(server):
    status, _, said = server.send(b"utterances 2")
    prediction = Prediction.model_validate(said)
    assert status == 200
    assert len(prediction) == 2
    assert prediction.source == "clip.mp4"


def test_a_sentence_is_answered(server):
    status, _, said = server.say("so good")
    assert status == 200
    assert [word["text"] for word in said["answers"][0]["words"]] == ["so", "good"]


def test_the_model_says_what_it_is(server):
    assert server.get("/model")["scale"] == [-3.0, 3.0]
    assert server.get("/model")["model"]["name"] == "stand-in.safetensors"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"../../etc/passwd\x00.mp4", "passwd.mp4"),
        (b"..", "recording"),
        (b"C:\\films\\mine.mp4", "mine.mp4"),
        (b"/dev/null", "null"),
        (b"a\xe2\x80\xaegpj.mp4", "agpj.mp4"),
        (b"<img src=x>.mp4", "<img src=x>.mp4"),
        (b"\xff\xfe.mp4", "\ufffd\ufffd.mp4"),
        (b"n" * 500, "n" * 120),
    ],
)
def test_a_hostile_name_is_shown_clean_and_never_used(server, name, shown):
    status, _, said = server.send(b"fine", name=name)
    assert (status, said["source"]) == (200, shown)


def test_what_is_no_recording_is_refused_by_its_name_not_by_its_temporary_path(server):
    status, _, said = server.send(b"not media", name=b"photo.mp4")
    assert status == 422
    assert said["detail"] == "photo.mp4: holds neither sound nor a moving picture"


def test_a_transcript_is_words_even_if_it_names_a_file(server, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden")
    _, _, said = server.send(b"fine", transcript=str(secret).encode())
    assert said["answers"][0]["transcript"] == str(secret)


def test_the_bytes_that_arrive_are_counted_whatever_the_header_says(server):
    status, _, said = server.send(b"x" * 1_500_000)
    assert (status, said["detail"]) == (413, "the upload is larger than 1 MB")
    chunks = iter([form(b"x" * 1_500_000)[i : i + 60_000] for i in range(0, 1_500_000, 60_000)])
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    status, _, said = server.ask("POST", "/predict", chunks, kind)
    assert (status, said["detail"]) == (413, "the upload is larger than 1 MB")


@pytest.mark.parametrize(
    ("body", "kind", "status", "sentence"),
    [
        (b"hello", "text/plain", 415, "multipart/form-data"),
        (b"hello", f"multipart/form-data; boundary={BOUNDARY}", 400, "not a well-formed"),
        (
            b"hello",
            f"multipart/form-data; boundary={'b' * 300}",
            400,
            "boundary of the form is too",
        ),
        (form(b"x")[:-10], f"multipart/form-data; boundary={BOUNDARY}", 400, "broke off"),
        (form(b""), f"multipart/form-data; boundary={BOUNDARY}", 422, "clip.mp4: is empty"),
        (form(b"x", transcript=b"\xff"), f"multipart/form-data; boundary={BOUNDARY}", 422, "UTF-8"),
        (
            form(b"x", transcript=b"x" * 20_001),
            f"multipart/form-data; boundary={BOUNDARY}",
            422,
            "at most 20000",
        ),
        (
            form(b"x").replace(b'name="file"', b'name="other"'),
            f"multipart/form-data; boundary={BOUNDARY}",
            422,
            "besides file and transcript",
        ),
    ],
)
def test_a_wrong_form_is_refused_with_a_sentence(server, body, kind, status, sentence):
    got, _, said = server.ask("POST", "/predict", body, {"Content-Type": kind})
    assert got == status
    assert sentence in said["detail"]


@pytest.mark.parametrize("body", [b"{}", b"not json", b'{"text": ""}', b'{"text": "a", "b": 1}'])
def test_a_wrong_sentence_is_refused_with_a_sentence(server, body):
    status, _, said = server.ask(
        "POST", "/predict/text", body, {"Content-Type": "application/json"}
    )
    assert status == 422
    assert isinstance(said["detail"], str)


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_sentence_without_end_is_refused_before_it_fills_the_memory(server, is_chunked):
    body = b'{"text": "' + b"x" * 2_000_000 + b'"}'
    pieces = iter([body[i : i + 60_000] for i in range(0, len(body), 60_000)])
    status, _, said = server.ask(
        "POST",
        "/predict/text",
        pieces if is_chunked else body,
        {"Content-Type": "application/json"},
    )
    assert (status, said["detail"]) == (413, "the body is too large for a sentence")


def test_an_upload_that_is_cut_leaves_nothing_and_no_place_taken(server):
    body = form(b"x" * 500_000)
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        head = (
            f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
        )
        raw.sendall(head.encode() + body[:200_000])
        server.wait_until(lambda: any(f.stat().st_size for f in server.folder.iterdir()))
    server.wait_until(lambda: server.get("/health")["inside"] == 0)
    assert server.send(b"fine")[0] == 200


def test_an_upload_that_stalls_is_given_up(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        head = (
            "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n--"
        )
        raw.sendall(head.encode())
        assert raw.recv(20).startswith(b"HTTP/1.1 408")


def receive_until(raw, sentence):
    """Return what a server sends, up to a sentence."""
    said = b""
    while sentence not in said:
        more = raw.recv(4096)
        assert more, said
        said += more
    return said


def test_uploads_that_drip_keep_no_sentence_out_and_are_given_up():
    head = (
        "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n--"
    ).encode()
    with served(upload_grace=3.0) as one, contextlib.ExitStack() as stack:
        dripping = [
            stack.enter_context(socket.create_connection(("127.0.0.1", one.port), timeout=20))
            for _ in range(9)
        ]
        for raw in dripping:
            raw.sendall(head)
        one.wait_until(lambda: one.get("/health")["inside"] == 9)
        status, _, said = one.send(b"fine")
        assert (status, said["detail"]) == (429, "9 requests are waiting already; try later")
        assert one.say("so good")[0] == 200
        for letter in BOUNDARY.encode()[:4]:
            for raw in dripping:
                raw.sendall(bytes([letter]))
        for raw in dripping:
            said = receive_until(raw, b"the upload brings less than 50 kB a second")
            assert said.startswith(b"HTTP/1.1 408")
        one.wait_until(lambda: one.get("/health")["inside"] == 0)
        assert one.send(b"fine")[0] == 200


def test_a_sentence_that_stalls_is_given_up(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        head = (
            "POST /predict/text HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50\r\n"
            'Content-Type: application/json\r\n\r\n{"text": "'
        )
        raw.sendall(head.encode())
        said = receive_until(raw, b"the body did not arrive within 2 seconds")
        assert said.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("is_second", [False, True])
def test_a_head_that_does_not_come_to_its_end_is_given_up(server, is_second):
    """It waited for ever, also where more of it came now and then."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as raw:
        if is_second:
            raw.sendall(b"GET /progress/0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert raw.recv(4096).startswith(b"HTTP/1.1 404")
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.")
        ended = threading.Event()

        def drip():
            while not ended.wait(0.2):
                with contextlib.suppress(OSError):
                    raw.sendall(b"0")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            with contextlib.suppress(ConnectionResetError):
                while raw.recv(4096):
                    pass
        finally:
            ended.set()
            dripping.join()


def test_what_a_request_says_is_short_and_harmless_in_a_sentence(server):
    body = json.dumps({"text": "a", "\x1b[2J" + "b" * 5_000: 1})
    status, _, said = server.ask(
        "POST", "/predict/text", body, {"Content-Type": "application/json"}
    )
    assert status == 422
    assert said["detail"].startswith(r"body.\x1b[2Jbbb")
    assert len(said["detail"]) < 300


def test_more_requests_than_the_queue_holds_are_turned_away_and_the_rest_answered(server):
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: server.send(b"sleep 0.3"), range(12)))
    statuses = [status for status, _, _ in answers]
    assert set(statuses) == {200, 429}
    assert 4 <= statuses.count(200) < 12
    assert all(int(h["Retry-After"]) > 0 for status, h, _ in answers if status == 429)


def test_fifty_large_uploads_at_once_are_all_answered(server):
    content = b"fine" + b"x" * 900_000
    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(lambda _: server.send(content)[0], range(50)))
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) >= 4
    assert server.send(b"fine")[0] == 200


def test_a_prediction_that_takes_too_long_is_stopped_and_the_next_is_answered(server):
    status, _, said = server.send(b"sleep 60")
    assert status == 504
    assert "longer than 2 seconds" in said["detail"]
    assert server.send(b"fine")[0] == 200


def test_a_recording_that_kills_its_reader_costs_one_answer(server):
    status, _, said = server.send(b"die")
    assert status == 500
    assert "died over this one" in said["detail"]
    assert "exit code 11" in said["detail"]
    assert server.send(b"fine")[0] == 200
    assert server.get("/health")["state"] == "ready"


def test_a_client_that_goes_away_while_it_waits_loses_its_place(server):
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.send, b"sleep 1.5")
        server.wait_until(lambda: server.get("/health")["inside"] == 1)
        body = form(b"fine")
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            head = (
                f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
                f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
            )
            raw.sendall(head.encode() + body)
            server.wait_until(lambda: server.get("/health")["inside"] == 2)
        server.wait_until(lambda: server.get("/health")["inside"] <= 1)
        assert first.result()[0] == 200


def test_progress_tells_waiting_from_working(server):
    seen = set()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.send, b"sleep 1.0")
        server.wait_until(lambda: server.get("/health")["inside"] == 1)
        second = pool.submit(server.send, b"sleep 1.0", headers={"X-Ticket": TICKET})
        while not second.done():
            said = server.get(f"/progress/{TICKET}")
            if "stage" in said:
                seen.add((said["stage"], said["before"]))
        assert (first.result()[0], second.result()[0]) == (200, 200)
    assert {("waiting", 1), ("working", 0)} <= seen
    assert server.get(f"/progress/{TICKET}")["stage"] == "done"
    assert server.ask("GET", "/progress/ffffffffffffffff")[0] == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "rebound.example"},
        {"Host": "[::"},
    ],
)
def test_requests_of_other_pages_are_refused(server, headers):
    assert server.say("so good", **headers)[0] == 403


def test_the_page_of_the_server_itself_may_ask(server):
    assert server.say("so good", Origin=server.url)[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/model-card", "/favicon.ico", "/static/page.js", "/health", "/static/nothing"],
)
def test_every_answer_forbids_addresses_outside(server, path):
    _, headers, _ = server.ask("GET", path)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_files_outside_the_page_are_not_given(server):
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd"):
        assert server.ask("GET", path)[0] == 404


def test_the_files_of_the_page_name_no_address_outside():
    allowed = "http://www.w3.org/"  # names of XML, never fetched; and advice about localhost
    for file in STATIC.iterdir():
        text = file.read_text(encoding="utf-8").replace(allowed, "").replace("http://localhost", "")
        assert "http://" not in text, file
        assert "https://" not in text, file
        assert "innerHTML" not in text, file


def test_a_mistake_of_the_server_is_answered_in_json_with_the_headers_of_all(server, monkeypatch):
    def fail(_):
        raise ValueError("unforeseen")

    monkeypatch.setattr(server.app.state.queue, "progress_of", fail)
    status, headers, said = server.ask("GET", f"/progress/{TICKET}")
    assert (status, said["detail"]) == (500, "the server made a mistake; its console says which")
    assert "default-src 'none'" in headers["Content-Security-Policy"]


# --- loading --------------------------------------------------------------------------------------


def test_clients_that_leave_do_not_end_the_loading_that_others_wait_for(tmp_path):
    """A client with less patience than loading takes killed it, and so it never ended."""
    gate = tmp_path / "gate"
    states = []
    settings = {"loader": "stand_in_models:load_when_told", "model": gate}
    with served(
        is_awaited=False, on_state=lambda state, *_: states.append(state), **settings
    ) as one:
        one.wait_until(gate.with_suffix(".log").exists)
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", one.port)) as raw:
                body = b'{"text": "so good"}'
                head = "POST /predict/text HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                raw.sendall(head.encode() + body)
                one.wait_until(lambda: one.get("/health")["inside"] == 1)
            one.wait_until(lambda: one.get("/health")["inside"] == 0)
            assert one.get("/health")["state"] == "loading"
        assert one.ask("GET", "/model")[2]["detail"] == "the model is loading; try later"
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(one.say, "so good")
            one.wait_until(lambda: one.get("/health")["inside"] == 1)
            gate.touch()
            assert waiting.result()[0] == 200
        assert one.get("/health")["state"] == "ready"
    assert states == ["loading", "ready"]
    assert gate.with_suffix(".log").read_text() == "loading\n"


def test_the_worker_opens_the_model_as_the_settings_say():
    told = {"baseline": "none", "companion": "runs/talks", "language": "de", "int8": True}
    with served(loader="stand_in_models:load_told", **told) as one:
        name = one.get("/model")["model"]["name"]
    assert name == (
        "device=cpu, recogniser=auto, language=de, baseline=none, companion=runs/talks, int8=True"
    )


def test_a_server_stops_while_its_model_loads(tmp_path):
    settings = {"loader": "stand_in_models:load_when_told", "model": tmp_path / "gate"}
    with served(is_awaited=False, **settings) as one:
        one.wait_until((tmp_path / "gate.log").exists)
        folder = one.folder
    assert not folder.exists()


def test_a_model_that_cannot_be_loaded_says_so():
    with served(loader="stand_in_models:load_missing") as one:
        health = one.get("/health")
        assert health["state"] == "failed"
        assert health["detail"] == "stand-in.safetensors: is damaged; get it anew"
        status, headers, said = one.say("so good")
        assert (status, one.ask("GET", "/model")[0]) == (503, 503)
        assert int(headers["Retry-After"]) > 0
        assert "is damaged; get it anew" in said["detail"]


def test_after_a_failure_the_next_request_loads_the_model_once_more(tmp_path):
    settings = {"loader": "stand_in_models:load_at_second_try", "model": tmp_path / "seen"}
    with served(**settings) as one:
        assert one.get("/health")["state"] == "failed"
        assert one.say("so good")[0] == 200
        assert (one.get("/health")["state"], one.get("/health")["detail"]) == ("ready", "")


def test_there_is_a_card_of_each_model_of_the_package_and_of_no_other(server):
    card = server.get("/model-card/emotions").decode()
    assert "<h1>Model card of the emotions of the bundled models</h1>" in card
    assert server.get("/model-card/default") == server.get("/model-card")
    status, _, said = server.ask("GET", "/model-card/LICENSE")
    assert (status, "emotions" in said["detail"]) == (404, True)
    assert server.get("/model")["cards"] == ["default"]


def test_a_model_that_dies_while_it_loads_says_how_and_is_not_tried_for_ever():
    with served(loader="stand_in_models:load_crashing", load_attempts=2) as one:
        how = "the process died while it was loading the model (exit code 12"
        assert how in one.get("/health")["detail"]
        for _ in range(2):
            status, headers, said = one.say("so good")
            assert status == 503
            assert how in said["detail"]
        assert "2 attempts to load it failed, so mend that and start" in said["detail"]
        assert "Retry-After" not in headers


def test_the_console_says_loading_ready_and_why_not(capsys):
    announce = announce_state("http://127.0.0.1:8000/")
    announce("loading", 0.0, "")
    announce("ready", 12.34, "")
    announce("failed", 3.0, "m.safetensors: is damaged")
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("loading the model ...")
    assert out.splitlines()[1] == "ready at http://127.0.0.1:8000/   (loaded in 12.3 s)"
    assert err == "mien: there is no model: m.safetensors: is damaged\n"


def test_stopping_the_server_ends_the_work_and_removes_the_uploads():
    with served() as one:
        folder = one.folder
        thread = threading.Thread(target=_send_and_lose, args=(one,))
        thread.start()
        one.wait_until(lambda: one.get("/health")["inside"] == 1)
    thread.join()
    assert not folder.exists()


def _send_and_lose(one):
    try:
        one.send(b"sleep 60")
    except (OSError, EOFError):
        return


def test_a_killed_server_takes_its_worker_along_and_the_uploads(tmp_path):
    """The worker went on with its job to the end, and the upload stayed until then."""
    code = (
        "from mien.prediction.server.limits import ServeSettings as S; "
        "from mien.prediction.server.server import open_socket, serve\n"
        "if __name__ == '__main__':\n"
        "    s = S(loader='stand_in_models:load', port=0); t = open_socket(s)\n"
        "    print(t.getsockname()[1], flush=True); serve(s, t)\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    paths = [str(Path(__file__).parents[1]), str(Path(mien.__file__).parents[1])]
    home = tmp_path / "uploads"
    home.mkdir()
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(home)}
    process = subprocess.Popen([sys.executable, script], env=env, stdout=subprocess.PIPE, text=True)
    with process:
        from served import Served

        one = Served(int(process.stdout.readline()), None)
        one.wait_until(lambda: _is_ready(one))
        thread = threading.Thread(target=_send_and_lose, args=(one,))
        thread.start()
        one.wait_until(lambda: any(f.stat().st_size for f in home.glob("mien-serve-*/*")))
        one.wait_until(lambda: one.get("/health")["inside"] == 1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGKILL)
        process.wait()
        thread.join()
        one.wait_until(lambda: not list(home.glob("mien-serve-*")))
        one.wait_until(lambda: not any(_is_running(child) for child in children))


def _is_running(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _is_ready(one):
    try:
        return one.get("/health")["state"] == "ready"
    except OSError:
        return False


def test_a_taken_port_is_said():
    with open_socket(ServeSettings(port=0)) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}: cannot be listened on"):
            open_socket(ServeSettings(port=port))


def test_the_description_of_the_api_names_every_way_and_every_refusal(server):
    paths = server.get("/openapi.json")["paths"]
    answers = {f"/answers/{{ticket}}/{kind}" for kind in ("json", "csv", "png", "png-with-frames")}
    asked = {"/predict", "/predict/text", "/progress/{ticket}", "/health", "/model"}
    assert set(paths) == asked | answers
    assert {"413", "422", "429", "504"} <= set(paths["/predict"]["post"]["responses"])
    assert "Prediction" in json.dumps(paths["/predict"]["post"]["responses"]["200"])
