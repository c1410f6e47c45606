/* One VIP's sessions: id to head and DER. The twin of core/cache/vip_cache.py, with the same methods and the same answers, but that
 * what handshakes use keeps its place by a second chance, instead of a move at each use.
 *
 * Entries are spread over stripes by a keyed hash of their id (ids come from clients and from other nodes), each stripe
 * with a lock of its own. An entry belongs to its stripe; what leaves is wiped before it is freed. Python gets copies.
 */
#include "hot.h"

#include <stdlib.h>
#include <string.h>
#include <structmember.h>

enum { CAPACITY_MIN = 16 };

pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct table *all_tables;

/* --- entries --- */

void wipe(void *place, size_t bytes)
{
#if defined(__GNUC__)
    memset(place, 0, bytes);
    __asm__ __volatile__("" : : "r"(place) : "memory"); /* or it would be left out before a free: nobody reads it */
#else
    volatile uint8_t *at = place;
    while (bytes--)
        *at++ = 0;
#endif
}

static uint32_t read32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

struct head head_of(const uint8_t *packed)
{
    struct head head;
    head.stream = read32(packed);
    head.seq = (uint64_t)read32(packed + 4) | (uint64_t)read32(packed + 8) << 32;
    head.expiry = (int32_t)read32(packed + 12);
    head.birth = (int32_t)read32(packed + 16);
    head.certified = packed[20];
    return head;
}

static void write32(uint8_t *at, uint32_t number)
{
    at[0] = (uint8_t)number;
    at[1] = (uint8_t)(number >> 8);
    at[2] = (uint8_t)(number >> 16);
    at[3] = (uint8_t)(number >> 24);
}

static void write_head(uint8_t *packed, const struct head *head)
{
    write32(packed, head->stream);
    write32(packed + 4, (uint32_t)head->seq);
    write32(packed + 8, (uint32_t)(head->seq >> 32));
    write32(packed + 12, (uint32_t)head->expiry);
    write32(packed + 16, (uint32_t)head->birth);
    packed[20] = head->certified;
}

/* A new entry with its id, whose head and DER the caller writes; NULL when there is no memory. */
static struct entry *entry_new(const uint8_t *id, size_t id_bytes, size_t packed_bytes)
{
    struct entry *entry = malloc(offsetof(struct entry, data) + id_bytes + packed_bytes);
    if (entry == NULL)
        return NULL;
    memset(entry, 0, offsetof(struct entry, data));
    entry->id_bytes = (uint8_t)id_bytes;
    entry->packed_bytes = (uint16_t)packed_bytes;
    memcpy(entry->data, id, id_bytes);
    return entry;
}

static void entry_free(struct entry *entry)
{
    if (entry == NULL)
        return;
    wipe(entry, offsetof(struct entry, data) + entry->id_bytes + entry->packed_bytes);
    free(entry);
}

static uint8_t *packed_of(struct entry *entry)
{
    return entry->data + entry->id_bytes;
}

static uint64_t cost_of(const struct entry *entry)
{
    return (uint64_t)entry->id_bytes + entry->packed_bytes - HEAD_BYTES + OVERHEAD_BYTES;
}

static bool is(const struct entry *entry, const uint8_t *id, size_t id_bytes)
{
    return entry->id_bytes == id_bytes && memcmp(entry->data, id, id_bytes) == 0;
}

/* --- a stripe, with its lock held --- */

static struct stripe *stripe_for(struct table *table, uint64_t hash)
{
    return &table->stripes[hash >> 60];
}

/* What says of a hash where its entry lies, and in most cases that another one is not it without a look at that, which is
 * seldom in the core's caches. Never 0. */
static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)hash ? (uint32_t)hash : 1;
}

/* The slot that holds this id, or the empty one where it would be. The table has a slot that is empty. */
static uint32_t slot_of(const struct stripe *stripe, uint64_t hash, const uint8_t *id, size_t id_bytes)
{
    uint32_t mask = stripe->capacity - 1, tag = tag_of(hash), at = tag & mask;
    while (stripe->tags[at] != 0 && !(stripe->tags[at] == tag && is(stripe->slots[at], id, id_bytes)))
        at = (at + 1) & mask;
    return at;
}

static struct entry *look_up(const struct stripe *stripe, uint64_t hash, const uint8_t *id, size_t id_bytes)
{
    return stripe->capacity ? stripe->slots[slot_of(stripe, hash, id, id_bytes)] : NULL;
}

/* Moves all entries to as many slots. They needn't be looked at: no two have one id. */
static bool resize(struct stripe *stripe, uint32_t capacity)
{
    struct entry **slots = calloc(capacity, sizeof *slots + sizeof *stripe->tags);
    if (slots == NULL)
        return false;
    uint32_t *tags = (uint32_t *)(slots + capacity), mask = capacity - 1;
    for (uint32_t from = 0; from < stripe->capacity; from++) {
        if (stripe->tags[from] != 0) {
            uint32_t at = stripe->tags[from] & mask;
            while (tags[at] != 0)
                at = (at + 1) & mask;
            tags[at] = stripe->tags[from];
            slots[at] = stripe->slots[from];
        }
    }
    free(stripe->slots);
    stripe->slots = slots;
    stripe->tags = tags;
    stripe->capacity = capacity;
    return true;
}

/* Puts an entry into the slots; false when there is no memory for them. Its id must not be there. At seven of eight full a
 * miss looks at 33 tags, which are two or three lines of the core's cache. */
static bool fill_slot(struct stripe *stripe, uint64_t hash, struct entry *entry)
{
    if ((uint64_t)(stripe->count + 1) * 8 > (uint64_t)stripe->capacity * 7 &&
        !resize(stripe, stripe->capacity ? stripe->capacity * 2 : CAPACITY_MIN))
        return false;
    uint32_t at = slot_of(stripe, hash, entry->data, entry->id_bytes);
    stripe->slots[at] = entry;
    stripe->tags[at] = tag_of(hash);
    stripe->count++;
    return true;
}

/* Empties a slot and moves up those behind it that would not be found any more. */
static void clear_slot(struct stripe *stripe, uint32_t at)
{
    uint32_t mask = stripe->capacity - 1, hole = at;
    for (uint32_t next = (at + 1) & mask; stripe->tags[next] != 0; next = (next + 1) & mask) {
        uint32_t home = stripe->tags[next] & mask;
        if (((next - home) & mask) >= ((next - hole) & mask)) {
            stripe->slots[hole] = stripe->slots[next];
            stripe->tags[hole] = stripe->tags[next];
            hole = next;
        }
    }
    stripe->slots[hole] = NULL;
    stripe->tags[hole] = 0;
    stripe->count--;
    if (stripe->capacity > CAPACITY_MIN && stripe->count < stripe->capacity / 8)
        (void)resize(stripe, stripe->capacity / 2); /* without memory it just stays as large */
}

static void unlink_entry(struct stripe *stripe, struct entry *entry)
{
    *(entry->older ? &entry->older->newer : &stripe->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &stripe->newest) = entry->older;
    entry->older = entry->newer = NULL;
}

static void link_newest(struct table *table, struct stripe *stripe, struct entry *entry)
{
    entry->tick = atomic_fetch_add(&table->ticks, 1);
    entry->older = stripe->newest;
    entry->newer = NULL;
    *(stripe->newest ? &stripe->newest->newer : &stripe->oldest) = entry;
    stripe->newest = entry;
}

/* Takes an entry out of its stripe and gives it to the caller. */
static struct entry *take_out(struct table *table, struct stripe *stripe, uint32_t at)
{
    struct entry *entry = stripe->slots[at];
    clear_slot(stripe, at);
    if (!entry->pending) {
        unlink_entry(stripe, entry);
        atomic_fetch_sub(&table->bytes, cost_of(entry));
        atomic_fetch_sub(&table->entries, 1);
    }
    return entry;
}

/* Files an entry as the youngest, in place of any other of its id. False, and it is the caller's, without memory. */
static bool file(struct table *table, struct entry *entry)
{
    uint64_t hash = keyed_hash(entry->data, entry->id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    pthread_mutex_lock(&stripe->lock);
    struct entry *former = NULL;
    if (look_up(stripe, hash, entry->data, entry->id_bytes) != NULL)
        former = take_out(table, stripe, slot_of(stripe, hash, entry->data, entry->id_bytes));
    bool filed = fill_slot(stripe, hash, entry);
    if (filed && !entry->pending) {
        link_newest(table, stripe, entry);
        atomic_fetch_add(&table->bytes, cost_of(entry));
        atomic_fetch_add(&table->entries, 1);
    }
    pthread_mutex_unlock(&stripe->lock);
    entry_free(former);
    return filed;
}

/* --- what the other files ask --- */

struct table *table_new(void)
{
    struct table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    atomic_init(&table->owners, 1);
    atomic_init(&table->generation, 1);
    for (int at = 0; at < STRIPES; at++)
        pthread_mutex_init(&table->stripes[at].lock, NULL);
    pthread_mutex_lock(&all_lock);
    table->next = all_tables;
    all_tables = table;
    pthread_mutex_unlock(&all_lock);
    return table;
}

void table_keep(struct table *table)
{
    atomic_fetch_add(&table->owners, 1);
}

void table_drop(struct table *table)
{
    if (table == NULL || atomic_fetch_sub(&table->owners, 1) != 1)
        return;
    pthread_mutex_lock(&all_lock);
    struct table **at = &all_tables;
    while (*at != table)
        at = &(*at)->next;
    *at = table->next;
    pthread_mutex_unlock(&all_lock);
    for (int each = 0; each < STRIPES; each++) {
        struct stripe *stripe = &table->stripes[each];
        for (uint32_t slot = 0; slot < stripe->capacity; slot++)
            entry_free(stripe->slots[slot]);
        free(stripe->slots);
        pthread_mutex_destroy(&stripe->lock);
    }
    free(table);
}

bool table_holds(struct table *table, const uint8_t *id, size_t id_bytes)
{
    uint64_t hash = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    pthread_mutex_lock(&stripe->lock);
    bool found = look_up(stripe, hash, id, id_bytes) != NULL;
    pthread_mutex_unlock(&stripe->lock);
    return found;
}

size_t table_find(struct table *table, const uint8_t *id, size_t id_bytes, uint8_t *packed)
{
    uint64_t hash = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    size_t bytes = 0;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up(stripe, hash, id, id_bytes);
    if (entry != NULL) {
        bytes = entry->packed_bytes;
        memcpy(packed, packed_of(entry), bytes);
        entry->used = true;
    }
    pthread_mutex_unlock(&stripe->lock);
    return bytes;
}

size_t table_read(struct table *table, const uint8_t *id, size_t id_bytes, uint8_t *packed)
{
    uint64_t hash = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    size_t bytes = 0;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up(stripe, hash, id, id_bytes);
    if (entry != NULL && !entry->pending) {
        bytes = entry->packed_bytes;
        memcpy(packed, packed_of(entry), bytes);
    }
    pthread_mutex_unlock(&stripe->lock);
    return bytes;
}

bool table_add_pending(struct table *table, const uint8_t *id, size_t id_bytes, const struct head *head,
                       const uint8_t *der, size_t der_bytes)
{
    struct entry *entry = entry_new(id, id_bytes, HEAD_BYTES + der_bytes);
    if (entry == NULL)
        return false;
    entry->pending = true;
    write_head(packed_of(entry), head);
    memcpy(packed_of(entry) + HEAD_BYTES, der, der_bytes);
    uint64_t hash = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    pthread_mutex_lock(&stripe->lock);
    bool added = look_up(stripe, hash, id, id_bytes) == NULL && fill_slot(stripe, hash, entry);
    pthread_mutex_unlock(&stripe->lock);
    if (!added)
        entry_free(entry);
    return added;
}

size_t table_find_pending(struct table *table, const uint8_t *id, size_t id_bytes, uint8_t *packed)
{
    uint64_t hash = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    size_t bytes = 0;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up(stripe, hash, id, id_bytes);
    if (entry != NULL && entry->pending) {
        bytes = entry->packed_bytes;
        memcpy(packed, packed_of(entry), bytes);
    }
    pthread_mutex_unlock(&stripe->lock);
    return bytes;
}

void table_drop_pending(struct table *table, const uint8_t *id, size_t id_bytes)
{
    uint64_t hash = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    struct entry *gone = NULL;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up(stripe, hash, id, id_bytes);
    if (entry != NULL && entry->pending)
        gone = take_out(table, stripe, slot_of(stripe, hash, id, id_bytes));
    pthread_mutex_unlock(&stripe->lock);
    entry_free(gone);
}

int table_file_new(struct table *table, const uint8_t *id, size_t id_bytes, const struct head *head, const uint8_t *der,
                   size_t der_bytes, uint64_t *name)
{
    struct entry *entry = entry_new(id, id_bytes, HEAD_BYTES + der_bytes);
    if (entry == NULL)
        return -1;
    write_head(packed_of(entry), head);
    memcpy(packed_of(entry) + HEAD_BYTES, der, der_bytes);
    uint64_t hash = *name = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    pthread_mutex_lock(&stripe->lock);
    bool there = look_up(stripe, hash, id, id_bytes) != NULL, filed = !there && fill_slot(stripe, hash, entry);
    if (filed) {
        link_newest(table, stripe, entry);
        atomic_fetch_add(&table->bytes, cost_of(entry));
        atomic_fetch_add(&table->entries, 1);
    }
    pthread_mutex_unlock(&stripe->lock);
    if (!filed)
        entry_free(entry);
    return there ? 0 : filed ? 1 : -1;
}

void table_take_back(struct table *table, const uint8_t *id, size_t id_bytes)
{
    uint64_t hash = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    struct entry *gone = NULL;
    pthread_mutex_lock(&stripe->lock);
    if (look_up(stripe, hash, id, id_bytes) != NULL)
        gone = take_out(table, stripe, slot_of(stripe, hash, id, id_bytes));
    pthread_mutex_unlock(&stripe->lock);
    entry_free(gone);
}

/* The entry of this name with this place in its stream, or NULL. */
static struct entry *look_up_named(const struct stripe *stripe, uint64_t name, uint32_t stream, uint64_t seq)
{
    uint32_t mask = stripe->capacity - 1, tag = tag_of(name), at = tag & mask;
    for (; stripe->capacity && stripe->tags[at] != 0; at = (at + 1) & mask) {
        if (stripe->tags[at] != tag)
            continue;
        struct entry *entry = stripe->slots[at];
        struct head head = head_of(packed_of(entry));
        if (!entry->pending && head.stream == stream && head.seq == seq)
            return entry;
    }
    return NULL;
}

/* Copies the id of the entry with this place in its stream to `id`; says how many bytes, 0 when it isn't here. */
static size_t id_named(struct table *table, uint64_t name, uint32_t stream, uint64_t seq, uint8_t *id)
{
    struct stripe *stripe = stripe_for(table, name);
    size_t bytes = 0;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up_named(stripe, name, stream, seq);
    if (entry != NULL) {
        bytes = entry->id_bytes;
        memcpy(id, entry->data, bytes);
    }
    pthread_mutex_unlock(&stripe->lock);
    return bytes;
}

size_t table_read_named(struct table *table, uint64_t name, uint32_t stream, uint64_t seq, uint8_t *id, size_t *id_bytes,
                        uint8_t *packed)
{
    struct stripe *stripe = stripe_for(table, name);
    size_t bytes = 0;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up_named(stripe, name, stream, seq);
    if (entry != NULL) {
        *id_bytes = entry->id_bytes;
        memcpy(id, entry->data, entry->id_bytes);
        bytes = entry->packed_bytes;
        memcpy(packed, packed_of(entry), bytes);
    }
    pthread_mutex_unlock(&stripe->lock);
    return bytes;
}

void tables_lock_all(void)
{
    for (struct table *table = all_tables; table != NULL; table = table->next)
        for (int at = 0; at < STRIPES; at++)
            pthread_mutex_lock(&table->stripes[at].lock);
}

void tables_unlock_all(void)
{
    for (struct table *table = all_tables; table != NULL; table = table->next)
        for (int at = 0; at < STRIPES; at++)
            pthread_mutex_unlock(&table->stripes[at].lock);
}

/* --- the Python type: core.cache.vip_cache.VipCache's twin --- */

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
    if (file(table_of(self), entry))
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
        if (!file(table_of(self), entry)) {
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

size_t table_file_made(struct table *table, const uint8_t *id, size_t id_bytes, uint32_t stream, uint64_t seq, uint64_t *name,
                       uint8_t *der, size_t room)
{
    uint64_t hash = *name = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    size_t der_bytes = 0;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up(stripe, hash, id, id_bytes);
    if (entry != NULL && entry->pending && head_of(packed_of(entry)).stream == stream &&
        (size_t)entry->packed_bytes - HEAD_BYTES <= room) {
        struct head head = head_of(packed_of(entry));
        head.seq = seq;
        write_head(packed_of(entry), &head);
        der_bytes = entry->packed_bytes - HEAD_BYTES;
        if (der != NULL)
            memcpy(der, packed_of(entry) + HEAD_BYTES, der_bytes);
        entry->pending = false;
        link_newest(table, stripe, entry);
        atomic_fetch_add(&table->bytes, cost_of(entry));
        atomic_fetch_add(&table->entries, 1);
    }
    pthread_mutex_unlock(&stripe->lock);
    return der_bytes;
}

/* Files what handshakes made, under ascending numbers, up to the first that isn't pending any more. Says their names. */
static PyObject *table_keep_made(PyObject *self, PyObject *args)
{
    PyObject *ids;
    unsigned long stream;
    unsigned long long seq;
    if (!PyArg_ParseTuple(args, "O!kK:keep_made", &PyList_Type, &ids, &stream, &seq))
        return NULL;
    uint64_t names[RING_MAX];
    Py_ssize_t count = PyList_Size(ids), kept = 0;
    for (; kept < count && kept < RING_MAX; kept++) {
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
    TableObject *share = (TableObject *)self;
    PyObject *over = PyList_New(0);
    for (int stripes = 0; over != NULL && budget > 0 && stripes <= STRIPES; stripes++) {
        struct stripe *stripe = &share->table->stripes[share->swept_stripe % STRIPES];
        long long looked = sweep(share, stripe, second, budget, over);
        if (looked < 0) {
            Py_CLEAR(over);
        } else if (looked < budget) {
            share->swept_slot = 0;
            share->swept_stripe = (share->swept_stripe + 1) % STRIPES;
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
    TableObject *share = (TableObject *)self;
    return PyBool_FromLong(bytes <= share->bytes_max && share->sessions_max > 0);
}

bool table_is_over(PyObject *self)
{
    TableObject *share = (TableObject *)self;
    return (long long)atomic_load(&share->table->bytes) > share->bytes_max ||
           (long long)atomic_load(&share->table->entries) > share->sessions_max;
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
