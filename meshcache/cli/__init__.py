"""The `meshcache` command."""
