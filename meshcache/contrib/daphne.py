"""Daphne: its command with an endpoint of the mesh.

    python -m meshcache.contrib.daphne -e mesh:8443:privateKey=shop.key:certKey=shop.pem:file=meshcache.toml app:app

An application that imports `meshcache.contrib.twisted` may be started with ``daphne`` itself.
"""

from __future__ import annotations


def main() -> None:
    """Run ``daphne`` with ``mesh:`` endpoints known."""
    from daphne.cli import CommandLineInterface

    import meshcache.contrib.twisted  # noqa: F401 - makes the endpoint known

    CommandLineInterface.entrypoint()


if __name__ == "__main__":
    main()
