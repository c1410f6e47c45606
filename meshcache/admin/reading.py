"""Reads a node for whoever asks: on the loop where it answers from memory, on a thread where it asks others first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

Answer = TypeVar("Answer")


@runtime_checkable
class AskingNode(Protocol):
    """A node that asks others for what it tells. That may take seconds, which the loop that serves everybody hasn't."""

    @property
    def asks_others(self) -> bool: ...


async def read(node: object, question: Callable[..., Answer], *arguments: Any) -> Answer:
    """Return what `question`, one of the node's own, answers."""
    if isinstance(node, AskingNode):
        return await asyncio.to_thread(question, *arguments)
    return question(*arguments)
