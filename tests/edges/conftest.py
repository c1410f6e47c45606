from collections.abc import Callable, Iterator

import pytest

from tests.support.transports import Node


@pytest.fixture
def make() -> Iterator[Callable[..., Node]]:
    nodes: list[Node] = []

    def made(*arguments: object, **more: object) -> Node:
        node = Node(*arguments, **more)  # type: ignore[arg-type]
        node.transport.bind()
        nodes.append(node)
        return node

    yield made
    for node in nodes:
        node.transport.close()
