/* Writes to the disk's tier in transactions of many entries, without the interpreter: the twin of the writing methods of
 * `DiskTier` in tiers/disk.py, over the same file. Knows sealed values only.
 *
 * LMDB's public functions (lmdb.h) are called by the addresses that tiers/lmdb_functions.py finds, on the environment
 * that py-lmdb opened and owns: whoever holds a TierFile keeps that environment open, and calls from one thread at a time.
 */
#include "hot.h"

#include <stdlib.h>
#include <string.h>

enum {
    TURN_BYTES = 8,                           /* tiers.disk._TURN, ">Q" */
    ROW_HEAD_BYTES = 4 + TIER_PLACE_BYTES,    /* tiers.disk._HEAD, ">I16s" */
    EVICT_MAX = 256,                          /* tiers.disk._EVICT */
    BATCH_MAX = 512,                          /* hooks.TIER_BATCH_MAX */
    PAGE_BYTES = 4096,
    /* lmdb.h */
    MDB_RDONLY = 0x20000,
    MDB_NOOVERWRITE = 0x10,
    MDB_RESERVE = 0x10000,
    MDB_APPEND = 0x20000,
    MDB_FIRST = 0,
    MDB_NEXT = 8,
    MDB_KEYEXIST = -30799,
    MDB_NOTFOUND = -30798,
    MDB_CORRUPTED = -30796,
};

/* --- lmdb.h --- */

struct value {
    size_t bytes;
    void *data;
};

/* LMDB changes nothing that is given to it, but declares it as if it did. */
static struct value value_of(const void *data, size_t bytes)
{
    struct value value = {bytes, NULL};
    memcpy(&value.data, &data, sizeof data);
    return value;
}

struct stat_of {
    unsigned page_bytes, depth;
    size_t branch_pages, leaf_pages, overflow_pages, entries;
};

struct info_of {
    void *map;
    size_t map_bytes, last_page, last_transaction;
    unsigned readers_max, readers;
};

struct lmdb {
    int (*begin)(void *, void *, unsigned, void **);
    int (*commit)(void *);
    void (*abort)(void *);
    int (*open)(void *, const char *, unsigned, unsigned *);
    int (*get)(void *, unsigned, struct value *, struct value *);
    int (*put)(void *, unsigned, struct value *, struct value *, unsigned);
    int (*remove)(void *, unsigned, struct value *, struct value *);
    int (*open_cursor)(void *, unsigned, void **);
    void (*close_cursor)(void *);
    int (*cursor_get)(void *, struct value *, struct value *, int);
    int (*stat)(void *, unsigned, struct stat_of *);
    int (*env_stat)(void *, struct stat_of *);
    int (*env_info)(void *, struct info_of *);
};

typedef struct {
    PyObject_HEAD
    struct lmdb lmdb;
    void *env; /* py-lmdb's */
    unsigned sessions, turns;
    unsigned long long turn, evicted; /* the last turn that was given, how many entries made room */
    unsigned long long entries, pages, page_bytes, last_page;
    bool busy; /* a call runs without the interpreter */
} FileObject;

PyTypeObject *tier_file_type;

/* An entry that is to be written; it lies in what Python gave. */
struct given {
    const uint8_t *place, *value;
    size_t bytes;
    uint32_t expires;
    size_t order;
};

static void big32(uint8_t *at, uint32_t number)
{
    for (int each = 0; each < 4; each++)
        at[each] = (uint8_t)(number >> (24 - 8 * each));
}

static void big64(uint8_t *at, uint64_t number)
{
    big32(at, (uint32_t)(number >> 32));
    big32(at + 4, (uint32_t)number);
}

/* --- without the interpreter; each says 0, or LMDB's or the system's error --- */

/* Notes how full the file is, as of the last transaction. */
static int look(FileObject *file)
{
    const struct lmdb *lmdb = &file->lmdb;
    struct stat_of sessions, turns, names;
    struct info_of info;
    void *reading;
    int fault = lmdb->begin(file->env, NULL, MDB_RDONLY, &reading);
    if (fault)
        return fault;
    fault = lmdb->stat(reading, file->sessions, &sessions);
    fault = fault ? fault : lmdb->stat(reading, file->turns, &turns);
    lmdb->abort(reading);
    fault = fault ? fault : lmdb->env_stat(file->env, &names);
    fault = fault ? fault : lmdb->env_info(file->env, &info);
    if (fault)
        return fault;
    file->entries = sessions.entries;
    file->page_bytes = sessions.page_bytes;
    file->pages = sessions.branch_pages + sessions.leaf_pages + sessions.overflow_pages + turns.branch_pages +
                  turns.leaf_pages + turns.overflow_pages + names.branch_pages + names.leaf_pages + names.overflow_pages;
    file->last_page = info.last_page;
    return 0;
}

/* Ends a transaction: with what it changed, when there is no fault. */
static int end(const struct lmdb *lmdb, void *writing, int fault)
{
    if (fault) {
        lmdb->abort(writing);
        return fault;
    }
    return lmdb->commit(writing);
}

/* Takes the row of this turn out, and the turn, which leads to it, when it is still the key's. */
static int drop_row(const FileObject *file, void *writing, const uint8_t *turn, const uint8_t *place)
{
    const struct lmdb *lmdb = &file->lmdb;
    struct value key = value_of(place, TIER_PLACE_BYTES), row = value_of(turn, TURN_BYTES), found;
    int fault = lmdb->get(writing, file->turns, &key, &found);
    if (fault == 0 && found.bytes == TURN_BYTES && memcmp(found.data, turn, TURN_BYTES) == 0)
        fault = lmdb->remove(writing, file->turns, &key, NULL);
    if (fault && fault != MDB_NOTFOUND)
        return fault;
    fault = lmdb->remove(writing, file->sessions, &row, NULL);
    return fault == MDB_NOTFOUND ? 0 : fault;
}

/* Takes up to `count` of the lowest turns out. */
static int evict(FileObject *file, size_t count)
{
    const struct lmdb *lmdb = &file->lmdb;
    uint8_t turns[EVICT_MAX][TURN_BYTES], places[EVICT_MAX][TIER_PLACE_BYTES];
    void *writing, *cursor;
    int fault = lmdb->begin(file->env, NULL, 0, &writing);
    if (fault)
        return fault;
    size_t found = 0;
    fault = lmdb->open_cursor(writing, file->sessions, &cursor);
    if (fault == 0) {
        struct value turn, row;
        int step = MDB_FIRST;
        while (found < count && (fault = lmdb->cursor_get(cursor, &turn, &row, step)) == 0 && turn.bytes == TURN_BYTES &&
               row.bytes >= ROW_HEAD_BYTES) {
            memcpy(turns[found], turn.data, TURN_BYTES);
            memcpy(places[found++], (const uint8_t *)row.data + 4, TIER_PLACE_BYTES);
            step = MDB_NEXT;
        }
        lmdb->close_cursor(cursor);
        fault = fault == MDB_NOTFOUND ? 0 : fault;
        if (fault == 0 && found == 0)
            fault = MDB_CORRUPTED; /* it says that there are some, and the next look would say so again */
    }
    for (size_t at = 0; fault == 0 && at < found; at++)
        fault = drop_row(file, writing, turns[at], places[at]);
    fault = end(lmdb, writing, fault);
    file->evicted += fault ? 0 : found;
    return fault;
}

static int by_place(const void *one, const void *other)
{
    const struct given *left = one, *right = other;
    int order = memcmp(left->place, right->place, TIER_PLACE_BYTES);
    return order ? order : left->order < right->order ? -1 : 1; /* what came last is written last */
}

static int write_one(FileObject *file, void *writing, const struct given *given)
{
    const struct lmdb *lmdb = &file->lmdb;
    uint8_t turn[TURN_BYTES], before[TURN_BYTES];
    big64(turn, ++file->turn);
    struct value key = value_of(given->place, TIER_PLACE_BYTES), value = {TURN_BYTES, turn};
    int fault = lmdb->put(writing, file->turns, &key, &value, MDB_NOOVERWRITE);
    if (fault == MDB_KEYEXIST) {
        if (value.bytes != TURN_BYTES)
            return fault;
        memcpy(before, value.data, TURN_BYTES);
        struct value row = {TURN_BYTES, before};
        value = (struct value){TURN_BYTES, turn};
        fault = lmdb->put(writing, file->turns, &key, &value, 0);
        fault = fault ? fault : lmdb->remove(writing, file->sessions, &row, NULL);
        fault = fault == MDB_NOTFOUND ? 0 : fault;
    }
    if (fault)
        return fault;
    struct value row = {TURN_BYTES, turn}, packed = {ROW_HEAD_BYTES + given->bytes, NULL};
    fault = lmdb->put(writing, file->sessions, &row, &packed, MDB_APPEND | MDB_RESERVE);
    if (fault == 0) {
        uint8_t *at = packed.data;
        big32(at, given->expires);
        memcpy(at + 4, given->place, TIER_PLACE_BYTES);
        memcpy(at + ROW_HEAD_BYTES, given->value, given->bytes);
    }
    return fault;
}

/* Writes so many in one transaction, after room was made for them. */
static int write_some(FileObject *file, struct given *some, size_t count, size_t batch, uint64_t full_bytes)
{
    const struct lmdb *lmdb = &file->lmdb;
    int fault = look(file);
    while (fault == 0 && file->pages * file->page_bytes + 2 * count * PAGE_BYTES > full_bytes && file->entries) {
        fault = evict(file, batch < EVICT_MAX ? batch : EVICT_MAX);
        fault = fault ? fault : look(file);
    }
    void *writing;
    fault = fault ? fault : lmdb->begin(file->env, NULL, 0, &writing);
    if (fault)
        return fault;
    qsort(some, count, sizeof *some, by_place); /* neighbours share pages */
    for (size_t at = 0; fault == 0 && at < count; at++)
        fault = write_one(file, writing, &some[at]);
    return end(lmdb, writing, fault);
}

static int write_all(FileObject *file, struct given *all, size_t count, size_t batch, uint64_t full_bytes)
{
    int fault = 0;
    for (size_t at = 0; fault == 0 && at < count; at += batch)
        fault = write_some(file, all + at, count - at < batch ? count - at : batch, batch, full_bytes);
    return fault ? fault : look(file);
}

static int remove_all(FileObject *file, const uint8_t *places, size_t count)
{
    const struct lmdb *lmdb = &file->lmdb;
    void *writing;
    int fault = lmdb->begin(file->env, NULL, 0, &writing);
    if (fault)
        return fault;
    for (size_t at = 0; fault == 0 && at < count; at++) {
        struct value key = value_of(places + at * TIER_PLACE_BYTES, TIER_PLACE_BYTES), found;
        uint8_t turn[TURN_BYTES];
        fault = lmdb->get(writing, file->turns, &key, &found);
        if (fault == 0 && found.bytes == TURN_BYTES) {
            memcpy(turn, found.data, TURN_BYTES);
            fault = drop_row(file, writing, turn, key.data);
        }
        fault = fault == MDB_NOTFOUND ? 0 : fault;
    }
    fault = end(lmdb, writing, fault);
    return fault ? fault : look(file);
}

/* --- the Python type --- */

static bool find(PyObject *addresses, const char *name, void *place)
{
    PyObject *item = PyMapping_GetItemString(addresses, name);
    void *address = item == NULL ? NULL : PyLong_AsVoidPtr(item);
    Py_XDECREF(item);
    if (address == NULL && !PyErr_Occurred())
        PyErr_Format(PyExc_ValueError, "LMDB lacks %s", name);
    memcpy(place, &address, sizeof address);
    return address != NULL;
}

static bool find_all(struct lmdb *lmdb, PyObject *addresses)
{
    return find(addresses, "txn_begin", &lmdb->begin) && find(addresses, "txn_commit", &lmdb->commit) &&
           find(addresses, "txn_abort", &lmdb->abort) && find(addresses, "dbi_open", &lmdb->open) &&
           find(addresses, "get", &lmdb->get) && find(addresses, "put", &lmdb->put) &&
           find(addresses, "del", &lmdb->remove) && find(addresses, "cursor_open", &lmdb->open_cursor) &&
           find(addresses, "cursor_close", &lmdb->close_cursor) && find(addresses, "cursor_get", &lmdb->cursor_get) &&
           find(addresses, "stat", &lmdb->stat) && find(addresses, "env_stat", &lmdb->env_stat) &&
           find(addresses, "env_info", &lmdb->env_info);
}

/* Learns the numbers of the two databases, which are open already. */
static int open_databases(FileObject *file, const char *sessions, const char *turns)
{
    void *writing;
    int fault = file->lmdb.begin(file->env, NULL, 0, &writing);
    if (fault)
        return fault;
    fault = file->lmdb.open(writing, sessions, 0, &file->sessions);
    fault = fault ? fault : file->lmdb.open(writing, turns, 0, &file->turns);
    fault = end(&file->lmdb, writing, fault);
    return fault ? fault : look(file);
}

static PyObject *file_make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)kwargs;
    PyObject *addresses, *env;
    const char *sessions, *turns;
    unsigned long long turn;
    if (!PyArg_ParseTuple(args, "OOyyK:TierFile", &addresses, &env, &sessions, &turns, &turn))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    FileObject *self = (FileObject *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    self->env = PyLong_AsVoidPtr(env);
    self->turn = turn;
    if (self->env != NULL && find_all(&self->lmdb, addresses)) {
        int fault = open_databases(self, sessions, turns);
        if (fault)
            PyErr_Format(PyExc_ValueError, "LMDB doesn't open them: %d", fault);
    }
    if (self->env == NULL && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "that is no environment");
    if (PyErr_Occurred()) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void file_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* Adds the entries in these bytes, which are as TierSealer.seal returns them, to `all`; false when they aren't. */
static bool take_entries(const uint8_t *at, size_t bytes, uint32_t now, struct given *all, size_t room, size_t *count)
{
    const uint8_t *ends = at + bytes;
    while (at < ends) {
        double lasts_s;
        uint32_t value_bytes;
        if ((size_t)(ends - at) < TIER_ENTRY_BYTES || *count >= room)
            return false;
        memcpy(&lasts_s, at, sizeof lasts_s);
        memcpy(&value_bytes, at + sizeof lasts_s, sizeof value_bytes);
        if ((size_t)(ends - at) - TIER_ENTRY_BYTES < value_bytes)
            return false;
        double until = (double)now + (lasts_s > 0 ? lasts_s : 0);
        all[*count] = (struct given){
            .place = at + TIER_ENTRY_BYTES - TIER_PLACE_BYTES,
            .value = at + TIER_ENTRY_BYTES,
            .bytes = value_bytes,
            .expires = until >= (double)UINT32_MAX ? UINT32_MAX : (uint32_t)until,
            .order = *count,
        };
        ++*count;
        at += TIER_ENTRY_BYTES + value_bytes;
    }
    return true;
}

static bool is_busy(PyObject *self)
{
    if (((const FileObject *)self)->busy)
        PyErr_SetString(PyExc_RuntimeError, "another thread writes to it");
    return ((const FileObject *)self)->busy;
}

/* Writes what is in a list of bytes, so many entries in all, at a second of wall time, up to `batch` in a transaction. */
static PyObject *file_write(PyObject *self, PyObject *args)
{
    PyObject *packed;
    Py_ssize_t room;
    unsigned long now, batch;
    unsigned long long full_bytes;
    if (!PyArg_ParseTuple(args, "O!nkkK:write", &PyList_Type, &packed, &room, &now, &batch, &full_bytes) || is_busy(self))
        return NULL;
    if (room < 0 || batch < 1 || batch > BATCH_MAX) {
        PyErr_SetString(PyExc_ValueError, "that is no batch");
        return NULL;
    }
    struct given *all = malloc(((size_t)room + 1) * sizeof *all);
    if (all == NULL)
        return PyErr_NoMemory();
    size_t count = 0;
    bool fine = true;
    for (Py_ssize_t at = 0; fine && at < PyList_Size(packed); at++) {
        char *data;
        Py_ssize_t bytes;
        fine = PyBytes_AsStringAndSize(PyList_GetItem(packed, at), &data, &bytes) == 0 &&
               take_entries((const uint8_t *)data, (size_t)bytes, (uint32_t)now, all, (size_t)room, &count);
    }
    int fault = 0;
    if (fine) {
        FileObject *file = (FileObject *)self;
        file->busy = true;
        Py_BEGIN_ALLOW_THREADS
        fault = write_all(file, all, count, batch, full_bytes);
        Py_END_ALLOW_THREADS
        file->busy = false;
    }
    free(all);
    if (!fine) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "those are no entries");
        return NULL;
    }
    return PyLong_FromLong(fault);
}

/* Takes out what lies at these places, which are one after the other. */
static PyObject *file_remove(PyObject *self, PyObject *object)
{
    char *places;
    Py_ssize_t bytes;
    if (is_busy(self) || PyBytes_AsStringAndSize(object, &places, &bytes) < 0)
        return NULL;
    if (bytes % TIER_PLACE_BYTES) {
        PyErr_SetString(PyExc_ValueError, "those are no places");
        return NULL;
    }
    FileObject *file = (FileObject *)self;
    int fault;
    file->busy = true;
    Py_BEGIN_ALLOW_THREADS
    fault = remove_all(file, (const uint8_t *)places, (size_t)bytes / TIER_PLACE_BYTES);
    Py_END_ALLOW_THREADS
    file->busy = false;
    return PyLong_FromLong(fault);
}

static PyObject *file_figures(PyObject *self, PyObject *unused)
{
    (void)unused;
    const FileObject *file = (const FileObject *)self;
    return Py_BuildValue("(KKKKK)", file->turn, file->evicted, file->entries, file->pages * file->page_bytes,
                         (file->last_page + 1) * file->page_bytes);
}

static PyMethodDef file_methods[] = {
    {"write", file_write, METH_VARARGS, "Write entries, and make room for them; 0 or the fault."},
    {"remove", file_remove, METH_O, "Take out what lies at these places; 0 or the fault."},
    {"figures", file_figures, METH_NOARGS, "The last turn, how many made room; entries, bytes in use, bytes of the file."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot file_slots[] = {
    {Py_tp_doc, "The file of the disk's tier, to write to."},
    {Py_tp_new, file_make},
    {Py_tp_dealloc, file_dealloc},
    {Py_tp_methods, file_methods},
    {0, NULL},
};

PyType_Spec tier_file_spec = {"meshcache.hot._hot.TierFile", sizeof(FileObject), 0, Py_TPFLAGS_DEFAULT, file_slots};
