"""Asks the operators' own policies: each within its budget, each crossing once, and refuses when one doesn't answer.

Implements `core.policy.own_policy.OwnPolicy`, which the core asks with its lock held: so answers are remembered here,
and a policy that is slow once rests, and is asked for nothing meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from meshcache.core.policy.gates import Terms
from meshcache.core.values.session import Session
from meshcache.edges import native
from meshcache.hooks import ANSWERS_MAX, BUDGET_S_MAX, Crossing, Resuming, SharingPolicy
from meshcache.plugins.caller import Caller, NoAnswerError
from meshcache.plugins.health import Health, Tell, What, name_of
from meshcache.plugins.shared_tiers import defines

_NEVER = float("inf")

_Key = tuple[str, Crossing]


class WrongAnswerError(TypeError):
    """A policy answered with something else than True or False."""


class PolicyRunner:
    """One policy. `on_change` is called, on any thread: with True when answers are others than before,
    with False when it begins to rest.
    """

    def __init__(self, policy: SharingPolicy, given_name: str, tell: Tell, on_change: Callable[[bool], None]) -> None:
        self.health = Health("policy", name_of(policy, given_name), tell)
        self.hook = policy
        self._on_change = on_change
        self._budget_s = min(max(policy.budget_s, 0.0), BUDGET_S_MAX)
        self._answers: dict[_Key, bool] = {}
        self._lock = native.Lock()
        self._to_ask: list[_Key] = []
        self._anew: dict[_Key, bool] = {}
        self._asked_again = False
        self._well = True
        """Whether every crossing had an answer since `ask_again`."""
        self._closed = False
        self._caller = Caller(f"hook-{self.health.name}", self._idle)
        self.asks_at_lookups = defines(policy, "may_resume")

    def start(self) -> None:
        """Begin to answer."""
        self.hook.when_asked_again(self.ask_again)
        self._caller.start()

    def close(self, within_s: float) -> None:
        """Refuse from now on whatever isn't answered yet."""
        self._closed = True
        self._caller.close(within_s)

    def ask_again(self) -> None:
        """Have all crossings asked about anew, by the policy's own thread, while the old answers hold."""
        with self._lock:
            self._asked_again = True
        self._caller.wake()

    def allows(self, gate: str, source: Terms, target: Terms) -> bool:
        """Return what the policy says of a crossing; no when it can't say."""
        if not defines(self.hook, gate):
            return True
        key = gate, _crossing(source, target)
        known = self._answers.get(key)
        if known is None:
            known = self._ask(lambda: self._answer(key)) is True
        if not known:
            self.health.count(f"refused_{gate.removeprefix('may_')}")
        return known

    def lets_resume(self, resuming: Resuming) -> bool:
        """Return what the policy says of a session that was found; no when it can't say."""
        allowed = self._ask(lambda: self._checked("may_resume", resuming)) is True
        if not allowed:
            self.health.count("refused_resume")
        return allowed

    def _ask(self, question: Callable[[], bool]) -> bool | None:
        if self.health.resting or self._closed:
            return None
        try:
            answer = bool(self._caller.call(question, self._budget_s))
        except NoAnswerError:
            self._rest("slow", f"no answer within {self._budget_s:g} s")
            return None
        except Exception as error:  # noqa: BLE001 - whatever a hook raises is its own fault
            self._rest_after(error)
            return None
        self.health.went_right()
        return answer

    def _rest(self, what: What, error: BaseException | str) -> None:
        if not self._closed:
            self.health.fault(what, error, rests=True)
            self._on_change(False)

    def _rest_after(self, error: Exception) -> None:
        if isinstance(error, WrongAnswerError):
            self._rest("wrong_answer", str(error))
        else:
            self._rest("raised", error)

    def _checked(self, gate: str, asked: Any) -> bool:
        self.health.count("calls")
        answer = getattr(self.hook, gate)(asked)
        if type(answer) is not bool:
            raise WrongAnswerError(f"{gate} answered with {type(answer).__name__}, not with True or False")
        return answer

    def _answer(self, key: _Key) -> bool:
        answer = self._checked(*key)
        with self._lock:
            if len(self._answers) >= ANSWERS_MAX:
                self._answers.clear()
            self._answers[key] = answer
        return answer

    def _idle(self) -> bool:
        """Ask about one crossing anew, if that is wanted; on the policy's own thread."""
        with self._lock:
            if self._asked_again:
                self._asked_again, self._to_ask, self._anew = False, list(self._answers), {}
                self._well = True
                if not self._to_ask:
                    return False
            if not self._to_ask:
                return False
            key = self._to_ask.pop()
        self._ask_anew(key)
        if not self._to_ask:
            with self._lock:
                self._answers |= self._anew
            self._on_change(True)
        return bool(self._to_ask)

    def _ask_anew(self, key: _Key) -> None:
        """Without an answer its old one holds no longer: it is refused, and asked about once the policy has rested."""
        try:
            self._anew[key] = self._checked(*key)
        except Exception as error:  # noqa: BLE001 - as above
            with self._lock:
                self._answers.pop(key, None)
            if self._well:
                self._well = False
                self._rest_after(error)
            else:  # one rest for all: with ten crossings it would last a minute
                self.health.count("wrong_answer" if isinstance(error, WrongAnswerError) else "raised")


class OwnPolicies:
    """All policies of a node together: each must agree. The core's `OwnPolicy`, and what lookups ask besides."""

    def __init__(self, runners: Sequence[PolicyRunner]) -> None:
        self._runners = runners
        self.asks_at_lookups = any(runner.asks_at_lookups for runner in runners)

    def may_send(self, source: Terms, target: Terms) -> bool:
        """Return whether every policy lets this crossing leave."""
        return all(runner.allows("may_send", source, target) for runner in self._runners)

    def may_accept(self, source: Terms, target: Terms) -> bool:
        """Return whether every policy lets this crossing in."""
        return all(runner.allows("may_accept", source, target) for runner in self._runners)

    def may_resume(self, vip: str, session: Session, made_here: bool, now: float) -> bool:
        """Return whether every policy lets a session that was found resume. Without the core's lock."""
        resuming = Resuming(
            vip=vip,
            made_for=session.stream.vip,
            origin=session.stream.origin,
            made_here=made_here,
            age_s=max(now - session.born_at, 0.0),
            remaining_s=max(session.expires_at - now, 0.0),
            client_certificate=session.client_certificate,
        )
        return all(runner.lets_resume(resuming) for runner in self._runners if runner.asks_at_lookups)

    def retry_at(self) -> float:
        """Return when a policy that rests may be asked again; never while none does."""
        return min((runner.health.rests_until for runner in self._runners if runner.health.resting), default=_NEVER)


def _crossing(source: Terms, target: Terms) -> Crossing:
    return Crossing(
        vip=source.vip,
        group=source.group,
        origin=source.node,
        origin_colo=source.colo,
        node=target.node,
        colo=target.colo,
        to_vip=target.vip,
    )
