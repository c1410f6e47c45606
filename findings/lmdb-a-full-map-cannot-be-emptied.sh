#!/bin/sh
# LMDB (py-lmdb 3.0.0, LMDB 0.9.36): a map that is full can't be emptied at once. Dropping its only table raises MapFullError,
# and so does deleting every entry in one transaction, since the list of freed pages wants pages of its own; small deletes
# work, most of them. Opened anew with a larger map_size the same drop works. A bounded store has to make room before it is full.
#
# Expected: emptying a store is possible when space is short. Ends with 1 when a full map takes the drop or the deletes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet lmdb==3.0.0
"$folder/venv/bin/python" - "$folder/store" <<'PYTHON'
import hashlib, sys
import lmdb

MAP_BYTES = 4 << 20
print("py-lmdb", lmdb.__version__, "LMDB", ".".join(map(str, lmdb.version())))
key = lambda number: hashlib.sha256(str(number).encode()).digest()
store = lmdb.open(sys.argv[1], map_size=MAP_BYTES)
filed = 0
try:
    while True:
        with store.begin(write=True) as transaction:
            transaction.put(key(filed), bytes(160))
        filed += 1
except lmdb.MapFullError:
    print("full with", filed, "entries:", 100 * filed * 192 // MAP_BYTES, "% of the map is theirs")


def tried(what):
    try:
        with store.begin(write=True) as transaction:
            what(transaction)
    except lmdb.MapFullError:
        return "MapFullError"
    return "works"


def delete_all(transaction):
    for number in range(filed):
        transaction.delete(key(number))


def drop(transaction):
    transaction.drop(store.open_db(txn=transaction), delete=False)


ends = tried(drop), tried(delete_all)
few = [tried(lambda transaction, number=number: transaction.delete(key(number))) for number in range(20)].count("works")
print("drop of all:", ends[0], "| delete of all in one transaction:", ends[1], "| of 20 small deletes worked", few)
store.close()
store = lmdb.open(sys.argv[1], map_size=2 * MAP_BYTES)
larger = tried(drop)
print("drop with a larger map_size:", larger)
sys.exit((*ends, larger) != ("MapFullError", "MapFullError", "works"))
PYTHON
