"""Looks at what the settings point at: files, addresses, names. Changes nothing, and keeps nothing open.

    faults = file_faults(settings) + address_faults(settings)

`meshcache check` and `meshcache serve` name every one with its place in the file. Imports whoever reads such a file in
earnest (`edges`, `runtime`, `plugins`, `tiers`, `ticket_files`, `admin`), so that both find the same faults. It decides
nothing: a node that starts without it opens the same files, and says what is wrong with them.
"""

from meshcache.checks.addresses import address_faults
from meshcache.checks.backends import backend_faults, backend_notes
from meshcache.checks.files import file_faults, file_notes

__all__ = ["file_faults", "address_faults", "file_notes", "backend_faults", "backend_notes"]
