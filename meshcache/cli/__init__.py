"""The `meshcache` command. Each subcommand is a module of its own, imported when it is used.

`main` is the list of them, `target` finds the node that is asked, `output` shows what it says. Imports every room that
answers without a node (`checks`, `doctor`, `planning`, `ticket_files`, `demo`), and `admin` to ask one: never `node` or
the core. Nobody imports it but `__main__`.
"""
