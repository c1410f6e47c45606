"""Gives the mesh's ticket keys to servers of other kinds: as the files that they read, and by what makes them read.

In order of reading: `layouts` says what each kind of server wants, `places` writes it where nobody else can, `telling`
makes the server read it, `export` does one place and tries again, `exports` are all of a node. May import `runtime`,
`edges`, `config` and the core; only `node` and those who ask a node import it.
"""
