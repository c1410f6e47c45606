"""`python -m meshcache` is the `meshcache` command."""

from meshcache.cli.main import main

main()
