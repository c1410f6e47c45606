import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from meshcache.edges.keyfile import FILE_BYTES_MAX, create_keyring, load_keyring, save_keyring
from meshcache.edges.keyring import Keyring
from meshcache.errors import KeyringError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mesh.key"
    create_keyring(path, Keyring.new())
    return path


def test_a_key_file_is_made_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create_keyring(tmp_path / "mesh.key", Keyring.new())
    finally:
        os.umask(before)
    assert (tmp_path / "mesh.key").stat().st_mode & 0o7777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["mesh.key"]


def test_what_was_written_is_read(path: Path) -> None:
    keyring = load_keyring(path).add()
    save_keyring(path, keyring)
    assert load_keyring(path) == keyring
    assert path.stat().st_mode & 0o7777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_that_is_handed_to_a_group_still_is_after_a_change(path: Path) -> None:
    """Whoever changes a service's key is root, and the service is to read the new one."""
    os.chown(path, 0, 7946)
    path.chmod(0o640)
    save_keyring(path, load_keyring(path).add())
    changed = path.stat()
    assert (changed.st_uid, changed.st_gid, changed.st_mode & 0o7777) == (0, 7946, 0o640)
    assert len(load_keyring(path).in_order) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read it")
def test_nothing_but_reading_is_kept_of_what_a_group_may(path: Path) -> None:
    keyring = load_keyring(path)
    os.chown(path, 1234, 7946)
    path.chmod(0o677)
    save_keyring(path, keyring)
    changed = path.stat()
    assert (changed.st_uid, changed.st_gid, changed.st_mode & 0o7777) == (1234, 7946, 0o640)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may write to, with a key file in it; pytest's are for their owner alone."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        create_keyring(folder / "mesh.key", Keyring.new())
        yield folder


def as_user(number: int, act: Callable[[], object]) -> str:
    """What goes wrong with something that a user does who is in no other group than his own; in a child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = ""
        try:
            os.setgroups([])
            os.setgid(number)
            os.setuid(number)
            act()
        except BaseException as error:  # noqa: BLE001 - the child must not go on with the tests
            said = str(error) or repr(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another")
def test_the_owner_of_a_key_file_may_change_it_whatever_group_it_has(open_folder: Path) -> None:
    """A group that may not read it means nothing: an owner can't give a file to a group that he isn't in."""
    path = open_folder / "mesh.key"
    os.chown(path, 7946, 0)
    content = path.read_text()
    assert as_user(7946, lambda: save_keyring(path, Keyring.from_toml(content).add())) == ""
    assert len(Keyring.from_toml(path.read_text()).in_order) == 2
    assert path.stat().st_uid == 7946


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another")
def test_what_cant_be_given_away_leaves_nothing_behind(open_folder: Path) -> None:
    path = open_folder / "mesh.key"
    os.chown(path, 0, 7946)
    path.chmod(0o640)
    content = path.read_text()
    said = as_user(7946, lambda: save_keyring(path, Keyring.from_toml(content).add()))
    assert said.endswith("can't be written: Operation not permitted")
    assert [file.name for file in path.parent.iterdir()] == ["mesh.key"]
    assert path.read_text() == content


def test_creating_never_overwrites(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(KeyringError, match="is there already"):
        create_keyring(path, Keyring.new())
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["mesh.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o620])
def test_a_file_that_others_can_reach_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(KeyringError, match=f"mode is {mode:04o}.*chmod 600"):
        load_keyring(path)


def test_a_file_that_only_its_owner_reads_is_fine(path: Path) -> None:
    path.chmod(0o400)
    assert load_keyring(path).keys


def test_a_file_of_another_user_is_refused(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
        with pytest.raises(KeyringError, match="belongs to user 12345"):
            load_keyring(path)
    else:
        with pytest.raises(KeyringError, match=r"belongs to user 0|can't be opened"):
            load_keyring(Path("/etc/shadow"))


def test_a_missing_file_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match=r"absent\.key.*meshcache key new"):
        load_keyring(tmp_path / "absent.key")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in (".", "fifo"):
        with pytest.raises(KeyringError, match="not a regular file"):
            load_keyring(tmp_path / name)


def test_a_symbolic_link_is_followed_as_secret_stores_mount_them(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    assert load_keyring(tmp_path / "link") == load_keyring(path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"#" * (FILE_BYTES_MAX + 1), b"secret = 'aHVudGVyMg=='"])
def test_other_content_is_refused_and_not_repeated(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(KeyringError, match=r"key file .*mesh\.key") as refused:
        load_keyring(path)
    assert "aHVudGVyMg" not in str(refused.value)


def test_a_folder_that_is_missing_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="can't be written"):
        create_keyring(tmp_path / "absent" / "mesh.key", Keyring.new())
