/* A VIP's table of sessions as Python has it: the twin of core/cache/vip_cache.py, with the same methods and the same answers,
 * but that what handshakes use keeps its place by a second chance, instead of a move at each use. Python gets copies.
 */
#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <structmember.h>

typedef struct {
    PyObject_HEAD
    struct table *table; /* owned; never NULL once made */
    long long bytes_max, sessions_max, evicted;
    uint32_t swept_slot, swept_stripe; /* where the search for what is over goes on */
} TableObject;

PyTypeObject *table_type;

struct table *table_of(PyObject *object)
{
    return ((TableObject *)object)->table;
}

static PyObject *table_make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"bytes_max", "sessions_max", NULL};
    long long bytes_max, sessions_max;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "LL:VipCache", names, &bytes_max, &sessions_max))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    TableObject *self = (TableObject *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    self->bytes_max = bytes_max;
    self->sessions_max = sessions_max;
    self->table = table_new();
    if (self->table == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void table_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    table_drop(table_of(self));
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static Py_ssize_t table_length(PyObject *self)
{
    return (Py_ssize_t)atomic_load(&table_of(self)->entries);
}

/* The bytes of an id or an entry; NULL with an error set when they aren't. */
static const uint8_t *bytes_in(PyObject *object, size_t low, size_t high, size_t *bytes)
{
    char *data;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(object, &data, &length) < 0)
        return NULL;
    if ((size_t)length < low || (size_t)length > high) {
        PyErr_Format(PyExc_ValueError, "between %zu and %zu bytes, not %zd", low, high, length);
        return NULL;
    }
    *bytes = (size_t)length;
    return (const uint8_t *)data;
}

/* Copies the entry of this id that the core sees to `packed`; says how many bytes, 0 for none, -1 with an error set. */
static Py_ssize_t copy_of(PyObject *self, PyObject *session_id, uint8_t *packed, bool use, bool remove)
{
    size_t id_bytes;
    char *data;
    Py_ssize_t length, bytes = 0;
    if (PyBytes_AsStringAndSize(session_id, &data, &length) < 0)
        return -1;
    if (length > ID_BYTES_MAX)
        return 0;
    const uint8_t *id = (const uint8_t *)data;
    id_bytes = (size_t)length;
    struct table *table = table_of(self);
    uint64_t hash = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    struct entry *gone = NULL;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up(stripe, hash, id, id_bytes);
    if (entry != NULL && !entry->pending) {
        bytes = entry->packed_bytes;
        if (packed != NULL)
            memcpy(packed, packed_of(entry), (size_t)bytes);
        if (use) { /* here it costs nothing to keep the order exactly; a handshake only notes it */
            unlink_entry(stripe, entry);
            link_newest(table, stripe, entry);
        }
        if (remove)
            gone = take_out(table, stripe, slot_of(stripe, hash, id, id_bytes));
    }
    pthread_mutex_unlock(&stripe->lock);
    entry_free(gone);
    return bytes;
}

static PyObject *copy_or_none(PyObject *self, PyObject *session_id, bool use, bool remove)
{
    uint8_t packed[HEAD_BYTES + DER_BYTES_MAX];
    Py_ssize_t bytes = copy_of(self, session_id, packed, use, remove);
    if (bytes < 0)
        return NULL;
    if (bytes == 0)
        Py_RETURN_NONE;
    PyObject *copy = PyBytes_FromStringAndSize((const char *)packed, bytes);
    wipe(packed, (size_t)bytes);
    return copy;
}

static PyObject *table_get(PyObject *self, PyObject *session_id)
{
    return copy_or_none(self, session_id, true, false);
}

static PyObject *table_peek(PyObject *self, PyObject *session_id)
{
    return copy_or_none(self, session_id, false, false);
}

static PyObject *table_pop(PyObject *self, PyObject *session_id)
{
    return copy_or_none(self, session_id, false, true);
}

static int table_contains(PyObject *self, PyObject *session_id)
{
    Py_ssize_t bytes = copy_of(self, session_id, NULL, false, false);
    return bytes < 0 ? -1 : bytes > 0;
}

static struct entry *entry_from(PyObject *session_id, PyObject *packed)
{
    size_t id_bytes, packed_bytes;
    const uint8_t *id = bytes_in(session_id, 1, ID_BYTES_MAX, &id_bytes);
    const uint8_t *content = id ? bytes_in(packed, HEAD_BYTES + 1, HEAD_BYTES + DER_BYTES_MAX, &packed_bytes) : NULL;
    if (content == NULL)
        return NULL;
    struct entry *entry = entry_new(id, id_bytes, packed_bytes);
    if (entry == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    memcpy(packed_of(entry), content, packed_bytes);
    return entry;
}

static bool put_one(PyObject *self, PyObject *session_id, PyObject *packed)
{
    struct entry *entry = entry_from(session_id, packed);
    if (entry == NULL)
        return false;
    if (table_file(table_of(self), entry))
        return true;
    entry_free(entry);
    PyErr_NoMemory();
    return false;
}

static PyObject *table_put(PyObject *self, PyObject *args)
{
    PyObject *session_id, *packed;
    if (!PyArg_ParseTuple(args, "OO:put", &session_id, &packed) || !put_one(self, session_id, packed))
        return NULL;
    Py_RETURN_NONE;
}

static long long number_in(PyObject *column, Py_ssize_t row)
{
    PyObject *item = PySequence_GetItem(column, row);
    long long number = item == NULL ? -1 : PyLong_AsLongLong(item);
    Py_XDECREF(item);
    return number;
}

static int32_t clamped(long long seconds)
{
    return (int32_t)(seconds < INT32_MIN ? INT32_MIN : seconds > INT32_MAX ? INT32_MAX : seconds);
}

/* The columns of core.cache.entry.Entries, borrowed from the tuple. */
enum column { SEQS, IDS, DERS, REMAINING, ELAPSED, CERTIFIED, COLUMNS };

static struct entry *entry_with(PyObject *session_id, PyObject *der, const struct head *head)
{
    size_t id_bytes, der_bytes;
    const uint8_t *id = bytes_in(session_id, 1, ID_BYTES_MAX, &id_bytes);
    const uint8_t *content = id ? bytes_in(der, 1, DER_BYTES_MAX, &der_bytes) : NULL;
    if (content == NULL)
        return NULL;
    struct entry *entry = entry_new(id, id_bytes, HEAD_BYTES + der_bytes);
    if (entry == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    write_head(packed_of(entry), head);
    memcpy(packed_of(entry) + HEAD_BYTES, content, der_bytes);
    return entry;
}

static struct entry *entry_of_row(PyObject **columns, Py_ssize_t row, uint32_t stream, long long second)
{
    struct head head = {.stream = stream, .seq = (uint64_t)number_in(columns[SEQS], row)};
    head.expiry = clamped(second + number_in(columns[REMAINING], row));
    head.birth = clamped(second - number_in(columns[ELAPSED], row));
    head.certified = number_in(columns[CERTIFIED], row) != 0;
    if (PyErr_Occurred())
        return NULL;
    PyObject *session_id = PySequence_GetItem(columns[IDS], row);
    PyObject *der = session_id == NULL ? NULL : PySequence_GetItem(columns[DERS], row);
    struct entry *entry = der == NULL ? NULL : entry_with(session_id, der, &head);
    Py_XDECREF(session_id);
    Py_XDECREF(der);
    return entry;
}

/* Files a batch in columns, each entry under an id that isn't here. All of it or, with an error, a part. */
static PyObject *table_put_many(PyObject *self, PyObject *args)
{
    unsigned long stream;
    long long second;
    PyObject *batch;
    if (!PyArg_ParseTuple(args, "kOL:put_many", &stream, &batch, &second))
        return NULL;
    if (!PyTuple_Check(batch) || PyTuple_Size(batch) != COLUMNS) {
        PyErr_SetString(PyExc_TypeError, "a batch is six columns");
        return NULL;
    }
    PyObject *columns[COLUMNS];
    for (int at = 0; at < COLUMNS; at++)
        columns[at] = PyTuple_GetItem(batch, at);
    Py_ssize_t rows = PySequence_Size(columns[IDS]);
    if (rows < 0)
        return NULL;
    for (Py_ssize_t row = 0; row < rows; row++) {
        struct entry *entry = entry_of_row(columns, row, (uint32_t)stream, second);
        if (entry == NULL)
            return NULL;
        if (!table_file(table_of(self), entry)) {
            entry_free(entry);
            return PyErr_NoMemory();
        }
    }
    Py_RETURN_NONE;
}

/* Gives an entry another head; it keeps its place. Does nothing when the id isn't here. */
static PyObject *table_rehead(PyObject *self, PyObject *args)
{
    const char *data, *head;
    Py_ssize_t id_bytes, head_bytes;
    if (!PyArg_ParseTuple(args, "y#y#:rehead", &data, &id_bytes, &head, &head_bytes))
        return NULL;
    if (head_bytes != HEAD_BYTES || id_bytes > ID_BYTES_MAX) {
        PyErr_SetString(PyExc_ValueError, "that is no head or no id");
        return NULL;
    }
    const uint8_t *id = (const uint8_t *)data;
    uint64_t hash = keyed_hash(id, (size_t)id_bytes);
    struct stripe *stripe = stripe_for(table_of(self), hash);
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up(stripe, hash, id, (size_t)id_bytes);
    if (entry != NULL && !entry->pending)
        memcpy(packed_of(entry), head, HEAD_BYTES);
    pthread_mutex_unlock(&stripe->lock);
    Py_RETURN_NONE;
}

static PyObject *table_holds_any(PyObject *self, PyObject *ids)
{
    Py_ssize_t count = PySequence_Size(ids);
    if (count < 0)
        return NULL;
    for (Py_ssize_t at = 0; at < count; at++) {
        PyObject *session_id = PySequence_GetItem(ids, at);
        int there = session_id == NULL ? -1 : table_contains(self, session_id);
        Py_XDECREF(session_id);
        if (there)
            return there < 0 ? NULL : PyBool_FromLong(1);
    }
    return PyBool_FromLong(0);
}

/* The stripe whose oldest entry is the oldest of all; entries that were used since are made young again on the way. */
static struct stripe *stripe_of_oldest(struct table *table)
{
    for (;;) {
        struct stripe *found = NULL;
        uint64_t lowest = UINT64_MAX;
        for (int at = 0; at < STRIPES; at++) {
            struct stripe *stripe = &table->stripes[at];
            pthread_mutex_lock(&stripe->lock);
            if (stripe->oldest != NULL && stripe->oldest->tick < lowest) {
                lowest = stripe->oldest->tick;
                found = stripe;
            }
            pthread_mutex_unlock(&stripe->lock);
        }
        if (found == NULL)
            return NULL;
        pthread_mutex_lock(&found->lock);
        struct entry *entry = found->oldest;
        bool again = entry != NULL && entry->used;
        if (again) {
            entry->used = false;
            unlink_entry(found, entry);
            link_newest(table, found, entry);
        }
        pthread_mutex_unlock(&found->lock);
        if (!again)
            return found;
    }
}

/* The id that was used longest ago, as far as second chances tell. Only the core removes entries, and it asks this. */
static PyObject *table_oldest(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct stripe *stripe = stripe_of_oldest(table_of(self));
    uint8_t id[ID_BYTES_MAX];
    size_t id_bytes = 0;
    if (stripe != NULL) {
        pthread_mutex_lock(&stripe->lock);
        if (stripe->oldest != NULL) {
            id_bytes = stripe->oldest->id_bytes;
            memcpy(id, stripe->oldest->data, id_bytes);
        }
        pthread_mutex_unlock(&stripe->lock);
    }
    if (id_bytes == 0) {
        PyErr_SetString(PyExc_StopIteration, "there is no entry");
        return NULL;
    }
    return PyBytes_FromStringAndSize((const char *)id, (Py_ssize_t)id_bytes);
}

/* A copy of an entry, for a list that is put in order outside of the locks. */
struct copy {
    uint64_t tick;
    struct entry *entry; /* owned */
};

static int by_tick(const void *one, const void *other)
{
    uint64_t left = ((const struct copy *)one)->tick, right = ((const struct copy *)other)->tick;
    return left < right ? -1 : left > right;
}

static void free_copies(struct copy *copies, size_t count)
{
    for (size_t at = 0; at < count; at++)
        entry_free(copies[at].entry);
    free(copies);
}

/* Copies of all entries that the core sees, oldest first; NULL without memory. Used ones count as younger. */
static struct copy *copies_of(struct table *table, bool whole, size_t *count)
{
    size_t room = 0, found = 0;
    struct copy *copies = NULL;
    for (int at = 0; at < STRIPES; at++) {
        struct stripe *stripe = &table->stripes[at];
        pthread_mutex_lock(&stripe->lock);
        bool fine = true;
        if (found + stripe->count > room || copies == NULL) {
            room = found + stripe->count + 1;
            struct copy *larger = realloc(copies, room * sizeof *copies);
            fine = larger != NULL;
            copies = fine ? larger : copies;
        }
        for (struct entry *entry = fine ? stripe->oldest : NULL; entry != NULL && fine; entry = entry->newer) {
            struct entry *copy = entry_new(entry->data, entry->id_bytes, whole ? entry->packed_bytes : 0);
            fine = copy != NULL;
            if (fine) {
                memcpy(packed_of(copy), packed_of(entry), copy->packed_bytes);
                copies[found++] = (struct copy){entry->tick + (entry->used ? UINT64_MAX / 2 : 0), copy};
            }
        }
        pthread_mutex_unlock(&stripe->lock);
        if (!fine) {
            free_copies(copies, found);
            return NULL;
        }
    }
    qsort(copies, found, sizeof *copies, by_tick);
    *count = found;
    return copies;
}

static PyObject *list_of(PyObject *self, bool whole)
{
    size_t count;
    struct copy *copies = copies_of(table_of(self), whole, &count);
    if (copies == NULL)
        return PyErr_NoMemory();
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t at = 0; list != NULL && at < count; at++) {
        struct entry *entry = copies[at].entry;
        const char *id = (const char *)entry->data, *packed = (const char *)packed_of(entry);
        PyObject *item = whole ? Py_BuildValue("(y#y#)", id, (Py_ssize_t)entry->id_bytes, packed,
                                               (Py_ssize_t)entry->packed_bytes)
                               : PyBytes_FromStringAndSize(id, entry->id_bytes);
        if (item == NULL || PyList_SetItem(list, (Py_ssize_t)at, item) < 0)
            Py_CLEAR(list);
    }
    free_copies(copies, count);
    return list;
}

static PyObject *table_ids(PyObject *self, PyObject *unused)
{
    (void)unused;
    return list_of(self, false);
}

static PyObject *table_items(PyObject *self, PyObject *unused)
{
    (void)unused;
    return list_of(self, true);
}

/* Files what handshakes made, under ascending numbers, up to the first that isn't pending any more. Says their names. */
static PyObject *table_keep_made(PyObject *self, PyObject *args)
{
    PyObject *ids;
    unsigned long stream;
    unsigned long long seq;
    if (!PyArg_ParseTuple(args, "O!kK:keep_made", &PyList_Type, &ids, &stream, &seq))
        return NULL;
    uint64_t names[WAITING_MAX];
    Py_ssize_t count = PyList_Size(ids), kept = 0;
    for (; kept < count && kept < WAITING_MAX; kept++) {
        size_t bytes;
        const uint8_t *id = bytes_in(PyList_GetItem(ids, kept), 1, ID_BYTES_MAX, &bytes);
        if (id == NULL)
            return NULL;
        if (!table_file_made(table_of(self), id, bytes, (uint32_t)stream, seq + (uint64_t)kept, &names[kept], NULL,
                       DER_BYTES_MAX))
            break;
    }
    return PyBytes_FromStringAndSize((const char *)names, kept * (Py_ssize_t)sizeof *names);
}

/* What a journal remembers an id by: a number that leads to its slot. */
static PyObject *table_name_of(PyObject *self, PyObject *session_id)
{
    (void)self;
    size_t bytes;
    const uint8_t *id = bytes_in(session_id, 1, ID_BYTES_MAX, &bytes);
    return id == NULL ? NULL : PyLong_FromUnsignedLongLong(keyed_hash(id, bytes));
}

static PyObject *table_id_of(PyObject *self, PyObject *args)
{
    unsigned long long name, seq;
    unsigned long stream;
    if (!PyArg_ParseTuple(args, "KkK:id_of", &name, &stream, &seq))
        return NULL;
    uint8_t id[ID_BYTES_MAX];
    size_t bytes = id_named(table_of(self), name, (uint32_t)stream, seq, id);
    if (bytes == 0)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize((const char *)id, (Py_ssize_t)bytes);
}

/* Adds the ids of a stripe's entries that end by `second` to `over`, from the slot where the search goes on, for up to
 * `budget` slots; says how many it looked at, or -1 with an error set. The id is copied with the lock held. */
static long long sweep(TableObject *self, struct stripe *stripe, long long second, long long budget, PyObject *over)
{
    long long looked = 0;
    while (looked < budget) {
        uint8_t id[ID_BYTES_MAX];
        size_t bytes = 0;
        bool more;
        pthread_mutex_lock(&stripe->lock);
        more = self->swept_slot < stripe->capacity;
        for (; more && bytes == 0 && looked < budget && self->swept_slot < stripe->capacity; self->swept_slot++) {
            struct entry *entry = stripe->slots[self->swept_slot];
            looked++;
            if (entry != NULL && !entry->pending && head_of(packed_of(entry)).expiry <= second) {
                bytes = entry->id_bytes;
                memcpy(id, entry->data, bytes);
            }
        }
        pthread_mutex_unlock(&stripe->lock);
        if (!more)
            return looked;
        PyObject *one = bytes ? PyBytes_FromStringAndSize((const char *)id, (Py_ssize_t)bytes) : NULL;
        if (bytes && (one == NULL || PyList_Append(over, one) < 0)) {
            Py_XDECREF(one);
            return -1;
        }
        Py_XDECREF(one);
    }
    return looked;
}

/* The ids of entries that end by this second, of the next slots; each call goes on where the last one ended. */
static PyObject *table_over_by(PyObject *self, PyObject *args)
{
    long long second, budget;
    if (!PyArg_ParseTuple(args, "LL:over_by", &second, &budget))
        return NULL;
    TableObject *cache = (TableObject *)self;
    PyObject *over = PyList_New(0);
    for (int stripes = 0; over != NULL && budget > 0 && stripes <= STRIPES; stripes++) {
        struct stripe *stripe = &cache->table->stripes[cache->swept_stripe % STRIPES];
        long long looked = sweep(cache, stripe, second, budget, over);
        if (looked < 0) {
            Py_CLEAR(over);
        } else if (looked < budget) {
            cache->swept_slot = 0;
            cache->swept_stripe = (cache->swept_stripe + 1) % STRIPES;
        }
        budget -= looked;
    }
    return over;
}

static PyObject *table_renew(PyObject *self, PyObject *unused)
{
    (void)unused;
    atomic_fetch_add(&table_of(self)->generation, 1);
    Py_RETURN_NONE;
}

static PyObject *table_fits(PyObject *self, PyObject *number)
{
    long long bytes = PyLong_AsLongLong(number);
    if (bytes == -1 && PyErr_Occurred())
        return NULL;
    TableObject *cache = (TableObject *)self;
    return PyBool_FromLong(bytes <= cache->bytes_max && cache->sessions_max > 0);
}

bool table_is_over(PyObject *self)
{
    TableObject *cache = (TableObject *)self;
    return (long long)atomic_load(&cache->table->bytes) > cache->bytes_max ||
           (long long)atomic_load(&cache->table->entries) > cache->sessions_max;
}

static PyObject *table_over(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyBool_FromLong(table_is_over(self));
}

static PyObject *table_bytes(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(atomic_load(&table_of(self)->bytes));
}

static PyMethodDef table_methods[] = {
    {"put", table_put, METH_VARARGS, "File an entry as the youngest."},
    {"put_many", table_put_many, METH_VARARGS, "File a batch, whose ids aren't here."},
    {"file_push", table_file_push, METH_VARARGS, "File a push that is like those before it from its bytes, or nothing."},
    {"keep_made", table_keep_made, METH_VARARGS, "File what handshakes made; their names."},
    {"over_by", table_over_by, METH_VARARGS, "The next ids whose entries end by a second."},
    {"name_of", table_name_of, METH_O, "What a journal remembers an id by."},
    {"id_of", table_id_of, METH_VARARGS, "The id of this name and this place in its stream."},
    {"get", table_get, METH_O, "The entry, which counts as used."},
    {"peek", table_peek, METH_O, "The entry, which doesn't count as used."},
    {"pop", table_pop, METH_O, "Take the entry out."},
    {"rehead", table_rehead, METH_VARARGS, "Give an entry another head."},
    {"holds_any", table_holds_any, METH_O, "Whether one of these ids is here."},
    {"oldest", table_oldest, METH_NOARGS, "The id that was used longest ago."},
    {"ids", table_ids, METH_NOARGS, "All ids, oldest use first; a copy."},
    {"items", table_items, METH_NOARGS, "All ids with their entries, oldest use first; a copy."},
    {"renew", table_renew, METH_NOARGS, "No verdict that was given before holds any more."},
    {"fits", table_fits, METH_O, "Whether an entry of this cost can be here at all."},
    {"over", table_over, METH_NOARGS, "Whether it holds more than it may."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef table_members[] = {
    {"bytes_max", T_LONGLONG, offsetof(TableObject, bytes_max), 0, NULL},
    {"sessions_max", T_LONGLONG, offsetof(TableObject, sessions_max), 0, NULL},
    {"evicted", T_LONGLONG, offsetof(TableObject, evicted), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef table_getters[] = {
    {"bytes", table_bytes, NULL, "What its entries are charged with.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot table_slots[] = {
    {Py_tp_doc, "One VIP's part of the cache, which handshakes read without the interpreter."},
    {Py_tp_new, table_make},
    {Py_tp_dealloc, table_dealloc},
    {Py_tp_methods, table_methods},
    {Py_tp_members, table_members},
    {Py_tp_getset, table_getters},
    {Py_sq_length, table_length},
    {Py_sq_contains, table_contains},
    {0, NULL},
};

PyType_Spec table_spec = {"meshcache.hot._hot.VipCache", sizeof(TableObject), 0, Py_TPFLAGS_DEFAULT, table_slots};
