from meshcache.runtime.tracing import FRAMES_MAX, shown


def fail(depth: int) -> None:
    if depth:
        fail(depth - 1)
    raise KeyError(b"an id that is a secret")


def caught(depth: int) -> BaseException:
    try:
        fail(depth)
    except KeyError as error:
        return error
    raise AssertionError


def test_a_fault_is_shown_by_kind_and_place_and_never_by_its_message() -> None:
    text = shown(caught(0))
    assert text.startswith("KeyError at test_tracing.py:")
    assert text.endswith(" fail")
    assert "secret" not in text


def test_only_the_innermost_frames_are_shown() -> None:
    assert shown(caught(100)).count(" fail") == FRAMES_MAX


def test_no_exception_is_shown_too() -> None:
    assert shown(None) == "NoneType at "
