"""On which thread a node is read."""

from __future__ import annotations

import threading

from meshcache.admin.reading import read


class Node:
    def where(self, *_: int) -> threading.Thread:
        return threading.current_thread()


class Group(Node):
    asks_others = True


async def test_a_node_is_read_on_the_loop_and_one_that_asks_others_beside_it() -> None:
    node, group = Node(), Group()
    assert await read(node, node.where, 1) is threading.current_thread()
    assert await read(group, group.where, 1) is not threading.current_thread()
