"""Who is asked, who is waited for, and who is left alone; the workers here are answers that a test gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meshcache.admin import worker_questions
from meshcache.admin.client import AdminClient
from meshcache.admin.worker_questions import WorkerQuestions
from meshcache.errors import AdminError, NodeAbsentError, PolicyError
from tests.support.waiting import wait_until

FIRST, SECOND = Path("/run/worker-0/admin.sock"), Path("/run/worker-1/admin.sock")


class Workers:
    """Each answers with its path, or raises what it has; one that hangs does so until it may go on."""

    def __init__(self) -> None:
        self.errors: dict[Path, Exception] = {}
        self.hangs: set[Path] = set()
        self.asked: list[Path] = []
        self.go_on = threading.Event()

    def __call__(self, client: AdminClient) -> Path:
        self.asked.append(client.path)
        if client.path in self.hangs:
            assert self.go_on.wait(60)
        if client.path in self.errors:
            raise self.errors[client.path]
        return client.path


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    made = Workers()
    monkeypatch.setattr(AdminClient, "stats", made)
    monkeypatch.setattr(worker_questions, "PATIENCE_S", 2.0)  # in which the others have to answer, too
    monkeypatch.setattr(worker_questions, "REST_S", 0.0)
    return made


@pytest.fixture
def questions(workers: Workers) -> Iterator[WorkerQuestions]:
    with ThreadPoolExecutor(8) as pool:
        yield WorkerQuestions(lambda: [FIRST, SECOND], pool)
        workers.go_on.set()


def test_all_are_asked_and_who_is_not_there_is_left_out(workers: Workers, questions: WorkerQuestions) -> None:
    assert questions.ask_each(workers) == {FIRST: FIRST, SECOND: SECOND}
    workers.errors[FIRST] = NodeAbsentError("gone")
    assert questions.ask_each(workers) == {SECOND: SECOND}
    assert questions.late == []


def test_who_hangs_is_waited_for_once_and_asked_again_when_its_answer_has_failed(
    workers: Workers, questions: WorkerQuestions, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "meshcache.admin")
    workers.hangs.add(FIRST)
    for _ in range(5):
        assert questions.ask_each(workers) == {SECOND: SECOND}
    assert (questions.late, questions.in_turn) == ([FIRST], [SECOND, FIRST])
    assert workers.asked.count(FIRST) == 1, "nobody asks it while it is being asked"
    workers.errors[FIRST] = AdminError("it timed out")
    workers.go_on.set()
    wait_until(lambda: questions.ask_each(workers) and workers.asked.count(FIRST) >= 3, what="it is asked again")
    assert questions.late == [FIRST]
    del workers.errors[FIRST]
    wait_until(lambda: questions.ask_each(workers) == {FIRST: FIRST, SECOND: SECOND})
    assert questions.late == []
    assert [message.split(":")[0] for message in caplog.messages] == [
        "worker-0 does not answer",
        "worker-0 answers again",
    ]


def test_one_that_is_gone_is_late_no_more(workers: Workers, questions: WorkerQuestions) -> None:
    workers.hangs.add(FIRST)
    questions.ask_each(workers)
    workers.errors[FIRST] = NodeAbsentError("it was killed")
    workers.go_on.set()
    wait_until(lambda: questions.late == [])


def test_where_one_will_do_the_next_is_asked_but_a_refusal_is_an_answer(
    workers: Workers, questions: WorkerQuestions
) -> None:
    assert questions.ask_one(workers) == FIRST
    workers.errors[FIRST] = AdminError("it answered 500")
    assert questions.ask_one(workers) == SECOND
    workers.errors[FIRST] = PolicyError("there is no VIP nowhere")
    with pytest.raises(PolicyError, match="nowhere"):
        questions.ask_one(workers)
    del workers.errors[FIRST]
    workers.hangs.add(FIRST)
    assert questions.ask_one(workers) == SECOND
    assert questions.late == [FIRST]
    workers.errors[SECOND] = AdminError("it answered 500")
    with pytest.raises(AdminError, match=r"worker-0 did not answer within 2 s"):
        questions.ask_one(workers)
    workers.errors = dict.fromkeys((FIRST, SECOND), NodeAbsentError("gone"))
    workers.go_on.set()
    with pytest.raises(NodeAbsentError):
        questions.ask_one(workers)


def test_who_could_not_be_asked_for_lack_of_a_thread_is_not_late(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_questions, "PATIENCE_S", 0.1)
    with ThreadPoolExecutor(1) as pool:
        questions = WorkerQuestions(lambda: [FIRST, SECOND], pool)
        pool.submit(workers.go_on.wait, 60)
        assert questions.ask_each(workers) == {}
        with pytest.raises(AdminError, match=r"worker-1 could not be asked within 0\.1 s"):
            questions.ask_one(workers)
        workers.go_on.set()
        monkeypatch.setattr(worker_questions, "PATIENCE_S", 60.0)
        assert questions.ask_each(workers) == {FIRST: FIRST, SECOND: SECOND}
    assert workers.asked == [FIRST, SECOND], "nobody waits for an answer of before"
    assert (questions.late, caplog.messages) == ([], [])


def test_who_was_asked_only_as_the_others_were_done_is_not_late(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first keeps the only thread until the second's time is nearly over."""
    monkeypatch.setattr(worker_questions, "PATIENCE_S", 4.0)

    def slowly(client: AdminClient) -> Path:
        if client.path == FIRST:
            workers.go_on.wait(3.0)
            return FIRST
        assert over.wait(60)
        return SECOND

    over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        questions = WorkerQuestions(lambda: [FIRST, SECOND], pool)
        found, late = questions.ask_each(slowly), questions.late
        over.set()
    assert SECOND not in {*found, *late}
