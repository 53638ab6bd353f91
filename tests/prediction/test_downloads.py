"""Answers as files: their names are harmless, their content is what ``mien predict`` writes."""

import csv
import io

import pytest
from served import BOUNDARY, form, served
from talking import write_clip

from mien.prediction.presentation.text import to_rows
from mien.prediction.result import Prediction
from mien.prediction.server.kept_answers import KeptAnswers, describe_attachment, name_download
from mien.prediction.server.limits import Refused

TICKET = {"X-Ticket": "0123456789abcdef"}
ADDRESS = "/answers/0123456789abcdef"
PNG = b"\x89PNG\r\n\x1a\n"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture(scope="module")
def server():
    with served(queue=3, max_upload_mb=1.0, time_limit=60.0) as one:
        yield one


def test_an_answer_is_downloaded_in_three_forms_named_after_the_recording(server):
    _, _, said = server.send(b"utterances 2", name=b"holiday.mp4", headers=TICKET)
    prediction = Prediction.model_validate(said)
    status, headers, content = server.ask("GET", f"{ADDRESS}/json")
    assert (status, Prediction.model_validate(content)) == (200, prediction)
    assert 'filename="holiday.mien.json"' in headers["Content-Disposition"]
    status, headers, content = server.ask("GET", f"{ADDRESS}/csv")
    assert list(csv.reader(io.StringIO(content.decode()))) == to_rows(prediction)
    assert 'filename="holiday.mien.csv"' in headers["Content-Disposition"]
    status, headers, content = server.ask("GET", f"{ADDRESS}/png")
    assert (status, content[:8]) == (200, PNG)
    assert 'filename="holiday.mien.png"' in headers["Content-Disposition"]


def test_a_picture_has_frames_of_the_recording_if_it_is_sent_again(server, tmp_path):
    clip = write_clip(tmp_path / "talk.mp4", seconds=4.0, size=(320, 240)).read_bytes()
    server.send(clip, name=b"talk.mp4", headers=TICKET)
    without = server.ask("GET", f"{ADDRESS}/png")[2]
    status, _, framed = server.ask(
        "POST", f"{ADDRESS}/png-with-frames", form(clip, name=b"talk.mp4"), FORM
    )
    assert (status, framed[:8]) == (200, PNG)
    assert int.from_bytes(framed[20:24]) > int.from_bytes(without[20:24])  # it is higher
    server.wait_until(lambda: not list(server.folder.iterdir()))


def test_the_picture_of_a_sentence_is_named_like_one(server):
    server.say("so good", **TICKET)
    status, headers, content = server.ask("GET", f"{ADDRESS}/png")
    assert (status, content[:8]) == (200, PNG)
    assert 'filename="sentence.mien.png"' in headers["Content-Disposition"]


@pytest.mark.parametrize("kind", ["json", "csv", "png"])
def test_what_was_not_answered_or_had_no_ticket_is_not_there(server, kind):
    server.send(b"fine")
    status, _, said = server.ask("GET", f"/answers/ffffffffffffffff/{kind}")
    assert status == 404
    assert "send the request again" in said["detail"]
    assert (
        server.ask("POST", "/answers/ffffffffffffffff/png-with-frames", form(b"x"), FORM)[0] == 404
    )


def test_a_picture_of_what_is_too_large_or_of_another_page_is_refused(server):
    server.send(b"fine", headers=TICKET)
    large = form(b"x" * 1_500_000)
    assert server.ask("POST", f"{ADDRESS}/png-with-frames", large, FORM)[0] == 413
    foreign = FORM | {"Origin": "http://elsewhere.example"}
    assert server.ask("POST", f"{ADDRESS}/png-with-frames", form(b"x"), foreign)[0] == 403


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"a\xc3\xa9\xe4\xb8\xad.mp4", "a\xe9\u4e2d.mien.csv"),
        (b"x;filename=evil.exe.mp4", "x;filename=evil.exe.mien.csv"),
        (b"<img src=x>.mp4", "_img src=x_.mien.csv"),
        (b"..mp4", "recording.mien.csv"),
        (b".bashrc", "bashrc.mien.csv"),
    ],
)
def test_a_hostile_name_cannot_leave_its_place_in_the_header(server, name, shown):
    server.send(b"fine", name=name, headers=TICKET)
    _, headers, _ = server.ask("GET", f"{ADDRESS}/csv")
    assert headers["Content-Disposition"] == describe_attachment(shown)
    assert headers["Content-Disposition"].count(";") == 2


def test_a_name_with_a_line_break_does_not_begin_another_header():
    said = describe_attachment('a"\r\nSet-Cookie: b=c.csv')
    assert said.isascii()
    assert said.isprintable()
    assert said.count('"') == 2


def test_answers_are_kept_for_a_while_and_only_the_last_of_them(server):
    _, _, said = server.send(b"fine")
    prediction = Prediction.model_validate(said)
    now = [0.0]
    kept = KeptAnswers(most=2, seconds=60.0, clock=lambda: now[0])
    for ticket in "abc":
        kept.keep(ticket, prediction)
    assert kept.find("b") is kept.find("c") is prediction
    with pytest.raises(Refused, match="kept for 1 minutes"):
        kept.find("a")
    now[0] = 61.0
    with pytest.raises(Refused, match="send the request again"):
        kept.find("c")
    assert name_download(prediction, "csv") == "clip.mien.csv"
