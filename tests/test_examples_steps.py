from __future__ import annotations

import threading

import anyio
import pytest

from frontdesk.examples.front_desk.steps import Pace, Progress, Steps, run_now, run_steps


def counting(pieces: int, closed: list[int]) -> Steps[int]:
    try:
        for piece in range(pieces):
            yield Progress(piece / pieces, f"piece {piece}")
        return pieces
    finally:
        closed.append(pieces)


async def test_a_job_reports_each_step_and_returns_its_result() -> None:
    seen: list[tuple[float, str]] = []
    closed: list[int] = []

    async def report(fraction: float, message: str) -> None:
        seen.append((fraction, message))

    assert await run_steps(counting(2, closed), report) == 2
    assert seen == [(0.0, "piece 0"), (0.5, "piece 1")]
    assert closed == [2]


async def test_steps_run_outside_the_event_loop() -> None:
    threads: set[int] = set()

    def job() -> Steps[None]:
        threads.add(threading.get_ident())
        yield Progress(0.5, "half")
        threads.add(threading.get_ident())

    async def report(_fraction: float, _message: str) -> None: ...

    await run_steps(job(), report)
    assert threads
    assert threading.get_ident() not in threads


async def test_a_cancel_takes_effect_between_two_steps_and_closes_the_job() -> None:
    closed: list[int] = []
    reported: list[str] = []
    with anyio.CancelScope() as scope:

        async def report(_fraction: float, message: str) -> None:
            reported.append(message)
            if len(reported) == 3:
                scope.cancel()

        await run_steps(counting(1_000_000, closed), report)
    assert scope.cancelled_caught
    assert reported == ["piece 0", "piece 1", "piece 2"]
    assert closed == [1_000_000]


async def test_an_error_in_a_step_comes_out_as_it_is() -> None:
    def job() -> Steps[None]:
        yield Progress(0.0, "start")
        raise LookupError("no such thing")

    async def report(_fraction: float, _message: str) -> None: ...

    with pytest.raises(LookupError, match="no such thing"):
        await run_steps(job(), report)


def test_run_now_gives_the_result_without_progress() -> None:
    assert run_now(counting(3, [])) == 3


def test_a_pace_is_due_once_per_interval() -> None:
    now = [100.0]
    pace = Pace(0.25, clock=lambda: now[0])
    answers: list[bool] = []
    for moment in (100.0, 100.2, 100.25, 100.3, 101.0, 101.0):
        now[0] = moment
        answers.append(pace.due())
    assert answers == [False, False, True, False, True, False]


def test_a_pace_of_zero_is_always_due() -> None:
    pace = Pace(0)
    assert [pace.due(), pace.due()] == [True, True]
