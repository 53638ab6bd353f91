"""The database of trials where several processes come to it, and where it goes away."""

import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import IntegrityError, OperationalError

from mien.errors import ConfigError
from mien.tuning import trial_database
from mien.tuning.trial_database import TrialDatabase, default_url, tell_of_database


@pytest.mark.parametrize(
    "error",
    [
        IntegrityError("INSERT", {}, Exception("UNIQUE constraint failed: alembic_version")),
        OperationalError("CREATE", {}, Exception("table studies already exists")),
    ],
    ids=["row", "table"],
)
def test_two_processes_may_make_the_tables_of_a_database_at_the_same_time(
    tmp_path, monkeypatch, error
):
    openings = []

    def open_beside_another(url, **options):
        openings.append(url)
        if len(openings) < 3:
            raise error
        return RDBStorage(url, **options)

    monkeypatch.setattr(trial_database, "RDBStorage", open_beside_another)
    monkeypatch.setattr(trial_database.time, "sleep", lambda _: None)
    database = TrialDatabase(default_url(tmp_path), "mine")
    database.begin({"seed": 1}, is_maximised=False)
    assert len(openings) == 3
    assert database.trials() == []


def test_a_database_that_cannot_be_opened_is_not_waited_for(tmp_path, monkeypatch):
    openings = []

    def refuse(url, **_):
        openings.append(url)
        raise OperationalError("SELECT", {}, Exception("no such host"))

    monkeypatch.setattr(trial_database, "RDBStorage", refuse)
    with pytest.raises(ConfigError, match=r"cannot be used .*no such host"):
        TrialDatabase(default_url(tmp_path), "mine")
    assert len(openings) == 1


def test_what_another_has_begun_at_the_same_time_is_compared(tmp_path, monkeypatch):
    first, second = (TrialDatabase(default_url(tmp_path), "mine") for _ in range(2))
    first.begin({"seed": 1}, is_maximised=False)
    known = RDBStorage.get_study_user_attrs
    answers = iter([{}])
    monkeypatch.setattr(
        RDBStorage, "get_study_user_attrs", lambda *given: next(answers, None) or known(*given)
    )
    monkeypatch.setattr(RDBStorage, "set_study_user_attr", lambda *_: None)  # the other was later
    with pytest.raises(ConfigError, match="was begun with another seed"):
        second.begin({"seed": 2}, is_maximised=False)


def test_a_database_that_goes_away_is_one_sentence():
    gone = OperationalError("UPDATE", {}, Exception("server closed the connection"))
    url = "postgresql://mia:secret@host/trials"
    with pytest.raises(ConfigError) as caught, tell_of_database(url):
        raise StorageInternalError("An exception is raised\nduring the commit.") from gone
    assert "server closed the connection" in str(caught.value)
    assert "the same command goes on once it can" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
