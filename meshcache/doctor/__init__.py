"""What `meshcache doctor` looks at: this machine, the file, the seeds, the running node, its mesh. Changes nothing.

Each file looks at one thing and yields a `finding` for each thing seen. What a node tells comes as the plain values of
its admin interface. Imports `config`, `checks`, `edges`, `ticket_files`, and `hot` and `tls` to try them on this
machine; `cli` shows it. It joins no mesh, writes no file, and takes part in no decision of a node.
"""
