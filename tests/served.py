"""A real server on a free port of this machine, for tests."""

import http.client
import json
import threading
import time
from contextlib import contextmanager

from mien.prediction.server.limits import ServeSettings
from mien.prediction.server.server import make_server, open_socket

BOUNDARY = "0123456789abcdef"


class Served:
    """A running server and the few ways to ask it."""

    def __init__(self, port, app):
        self.port = port
        self.app = app
        self.url = f"http://127.0.0.1:{port}"

    @property
    def folder(self):
        return self.app.state.folder

    def ask(self, method, path, body=None, headers=None):
        """Return status, headers and the JSON of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            content = response.read()
            kind = response.headers.get("content-type", "")
            return (
                response.status,
                response.headers,
                json.loads(content) if "json" in kind else content,
            )
        finally:
            connection.close()

    def get(self, path):
        return self.ask("GET", path)[2]

    def say(self, text, **headers):
        kind = {"Content-Type": "application/json"} | headers
        return self.ask("POST", "/predict/text", json.dumps({"text": text}), kind)

    def send(self, content, *, name=b"clip.mp4", transcript=None, headers=None):
        body = form(content, name=name, transcript=transcript)
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"} | (headers or {})
        return self.ask("POST", "/predict", body, kind)

    def wait_until(self, holds):
        for _ in range(600):
            if holds():
                return
            time.sleep(0.05)
        raise AssertionError("this did not come true in 30 seconds")


def form(content, *, name=b"clip.mp4", transcript=None):
    """Return the body of a multipart form, written by hand so that it can be wrong."""
    line = b"--" + BOUNDARY.encode()
    parts = b""
    if transcript is not None:
        field = b'\r\nContent-Disposition: form-data; name="transcript"\r\n\r\n'
        parts += line + field + transcript + b"\r\n"
    parts += line + b'\r\nContent-Disposition: form-data; name="file"; filename="' + name
    return parts + b'"\r\nContent-Type: image/png\r\n\r\n' + content + b"\r\n" + line + b"--\r\n"


@contextmanager
def served(*, is_awaited=True, on_state=None, **settings):
    """Run a server with a stand-in model for the time of a block."""
    chosen = ServeSettings(**{"loader": "stand_in_models:load", "port": 0} | settings)
    with open_socket(chosen) as taken:
        server = make_server(chosen, on_state)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        one = Served(taken.getsockname()[1], server.config.app)
        try:
            one.wait_until(lambda: server.started)
            if is_awaited:
                one.wait_until(lambda: one.get("/health")["state"] != "loading")
            yield one
        finally:
            server.should_exit = True
            thread.join()
