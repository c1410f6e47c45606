/* One VIP's way in and out for handshakes: finds what may resume, by verdicts that the core has given, and files what was
 * made until the core takes it. The twin of runtime.session_ports.VipPort and of core/replication/local_sessions.py, for what is plain; the rest is asked there.
 *
 * A verdict is about a stream (what one node publishes for one VIP) and holds for one generation of the VIP's table: a
 * policy change is one addition, after which every stream is asked about anew.
 */
#include "hot.h"

#include <poll.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <structmember.h>
#include <time.h>
#include <unistd.h>

/* What the core has answered about a stream, in two words that are read without a lock. Both name the stream: `low` is
 * the same for one stream whenever it is written, so that a reader who meets two writers has a whole answer or none. */
struct verdict {
    atomic_ullong key; /* stream << 32 | generation */
    atomic_ullong low; /* stream << 32 | the token's bits that are the stream's */
};

/* What Python sets; read by handshakes under the lock's shared side. */
struct settings {
    struct table *own;               /* owned; NULL until the core serves the VIP */
    struct table *tables[TABLES_MAX]; /* owned; `own` first, then those of the share group */
    int tables_count;
    uint32_t stream;                 /* of what is made here */
    double epoch;                    /* of the seconds in heads, on the monotonic clock */
    double zero;                     /* of the births in tokens */
    double lineage_s, lifetime12_s, lifetime13_s;
    int inbox;                       /* descriptor that is readable when the mesh has delivered something; or -1 */
    int wakeup;                      /* eventfd of the pump; or -1 */
    unsigned binding;                /* counts the calls of `bind` */
    double ahead;                    /* of the node's clock, by which births in ids are told */
    struct id_keys ids;
};

struct door {
    struct door *next; /* in the list of all, for fork */
    atomic_int owners;
    atomic_bool open;
    atomic_bool unread; /* the mesh may have delivered more than `inbox` tells */
    atomic_bool marks;  /* sessions of TLS 1.3 are good for one handshake, and are marked with their id */
    atomic_bool waits;  /* handshakes that can't be paused wait in the get callback for what is on its way */
    atomic_bool asks;   /* what isn't here is looked for elsewhere, for handshakes that can be paused */
    pthread_rwlock_t lock; /* guards `settings` */
    struct settings settings;
    struct verdict verdicts[VERDICTS];
    atomic_ullong local, remote, pulled, miss, foreign, full, hit_not_resumed;
    atomic_ullong resumed[3]; /* handshakes that ended well, with a session that is local, remote or pulled */
    pthread_mutex_t ring_lock; /* guards what follows */
    struct made *ring;         /* RING_MAX of them, made with the first session */
    unsigned head, tail;       /* `head` - `tail` are waiting */
    double collect_until;      /* until then sessions may wait for the pump */
    bool looks;                /* the pump looks at `collect_until` by itself */
    struct ticket_keys *tickets; /* owned, under `lock`; NULL: what is about tickets is asked in Python */
    struct makers *makers;       /* owned, under `lock`; made with the first one */
    atomic_ullong issued, opened[TICKET_AGES];
};

static struct door *all_doors;

enum { BIRTH_SHIFT = 18, OUTCOME_MASK = 3, OUTCOME_LOCAL = 1 }; /* as runtime.origin_tokens.Tokens packs them; hot.h has one more */

double monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- verdicts --- */

static struct verdict *verdict_for(struct door *door, uint32_t stream)
{
    return &door->verdicts[stream % VERDICTS];
}

/* The token's low bits if sessions of this stream may resume here now, by the core's word; else 0. */
static uint64_t allowed(struct door *door, uint32_t stream, unsigned generation)
{
    struct verdict *verdict = verdict_for(door, stream);
    uint64_t key = atomic_load(&verdict->key), low = atomic_load(&verdict->low);
    return key == ((uint64_t)stream << 32 | generation) && low >> 32 == stream ? low & UINT32_MAX : 0;
}

static void allow(struct door *door, uint32_t stream, unsigned generation, uint32_t low)
{
    struct verdict *verdict = verdict_for(door, stream);
    atomic_store(&verdict->key, 0); /* generations begin with 1 */
    atomic_store(&verdict->low, (uint64_t)stream << 32 | low);
    atomic_store(&verdict->key, (uint64_t)stream << 32 | generation);
}

/* --- what a handshake finds --- */

/* Whether the mesh has delivered what nobody has read: a client's session may be in this process already. */
static bool mail(struct door *door, const struct settings *settings)
{
    if (settings->inbox < 0 || atomic_load(&door->unread))
        return true;
    struct pollfd inbox = {.fd = settings->inbox, .events = POLLIN};
    return poll(&inbox, 1, 0) != 0;
}

static enum lookup judge(struct door *door, const struct settings *settings, struct hit *hit)
{
    struct head head = head_of(hit->packed);
    uint64_t low = allowed(door, head.stream, atomic_load(&settings->own->generation));
    double now = monotonic() - settings->epoch;
    if (low == 0 || head.certified || head.expiry <= now || now - head.birth > settings->lineage_s)
        return LOOKUP_ASK;
    double born_ms = (settings->epoch + head.birth - settings->zero) * 1000;
    if (born_ms < 0)
        return LOOKUP_ASK;
    hit->token = ((uint64_t)born_ms + 1) << BIRTH_SHIFT | low;
    return LOOKUP_HIT;
}

enum lookup door_find(struct door *door, const uint8_t *id, size_t id_bytes, struct hit *hit)
{
    enum lookup found = LOOKUP_ASK;
    hit->packed_bytes = 0;
    pthread_rwlock_rdlock(&door->lock);
    const struct settings *settings = &door->settings;
    if (atomic_load(&door->open) && settings->own != NULL && id_bytes <= ID_BYTES_MAX) {
        for (int at = 0; at < settings->tables_count && hit->packed_bytes == 0; at++)
            hit->packed_bytes = table_find(settings->tables[at], id, id_bytes, hit->packed);
        if (hit->packed_bytes != 0)
            found = judge(door, settings, hit);
        else if (!mail(door, settings))
            found = LOOKUP_MISS;
    }
    pthread_rwlock_unlock(&door->lock);
    return found;
}

bool door_asks(struct door *door)
{
    return atomic_load(&door->asks) && atomic_load(&door->open);
}

bool door_marks(struct door *door)
{
    return atomic_load(&door->marks);
}

bool door_waits(struct door *door)
{
    return atomic_load(&door->waits) && atomic_load(&door->open);
}

bool door_holds(struct door *door, const uint8_t *id, size_t id_bytes)
{
    bool found = false;
    pthread_rwlock_rdlock(&door->lock);
    const struct settings *settings = &door->settings;
    for (int at = 0; at < settings->tables_count && !found; at++)
        found = table_holds(settings->tables[at], id, id_bytes);
    pthread_rwlock_unlock(&door->lock);
    return found;
}

void door_count_miss(struct door *door)
{
    atomic_fetch_add(&door->miss, 1);
}

void door_count_foreign(struct door *door)
{
    atomic_fetch_add(&door->foreign, 1);
}

bool door_mint(struct door *door, uint8_t *id)
{
    pthread_rwlock_rdlock(&door->lock);
    const struct settings *settings = &door->settings;
    bool made = atomic_load(&door->open) && id_mint(&settings->ids, (uint64_t)((monotonic() + settings->ahead) * 1000), id);
    pthread_rwlock_unlock(&door->lock);
    return made;
}

bool door_minted(struct door *door, const uint8_t *id, size_t id_bytes)
{
    pthread_rwlock_rdlock(&door->lock);
    bool known = door->settings.ids.count == 0 || id_minted(&door->settings.ids, id, id_bytes);
    pthread_rwlock_unlock(&door->lock);
    return known;
}

void door_count_hit(struct door *door, uint64_t token)
{
    uint64_t outcome = token & OUTCOME_MASK;
    atomic_fetch_add(outcome == OUTCOME_LOCAL ? &door->local
                     : outcome == OUTCOME_PULLED ? &door->pulled : &door->remote, 1);
}

void door_count_resumed(struct door *door, uint64_t token)
{
    uint64_t outcome = token & OUTCOME_MASK;
    atomic_fetch_add(&door->resumed[outcome == 0 ? 0 : outcome - 1], 1);
}

void door_count_full(struct door *door, bool hit)
{
    atomic_fetch_add(&door->full, 1);
    if (hit)
        atomic_fetch_add(&door->hit_not_resumed, 1);
}

/* --- what a handshake makes --- */

static int32_t whole(double seconds)
{
    double down = floor(seconds);
    return (int32_t)(down < INT32_MIN ? INT32_MIN : down > INT32_MAX ? INT32_MAX : down);
}

/* Puts a session into table and ring, with the ring's lock held; says whether it could. */
static bool push(struct door *door, const struct settings *settings, const struct made *made, const uint8_t *der,
                 size_t der_bytes)
{
    if (door->ring == NULL)
        door->ring = calloc(RING_MAX, sizeof *door->ring);
    if (door->ring == NULL || door->head - door->tail >= RING_MAX)
        return false;
    struct head head = {.stream = settings->stream};
    head.expiry = whole(made->expires_at - settings->epoch);
    head.birth = whole(made->born_at - settings->epoch);
    if (!table_add_pending(settings->own, made->id, made->id_bytes, &head, der, der_bytes))
        return false;
    door->ring[door->head++ % RING_MAX] = *made;
    return true;
}

static void wake(int descriptor)
{
    uint64_t one = 1ull << 32; /* runtime.pump.DOOR: only what is collected is to be looked at */
    if (descriptor >= 0 && write(descriptor, &one, sizeof one) < 0)
        return; /* so many wake-ups that the counter is full are enough of them */
}

static enum kept keep(struct door *door, const struct settings *settings, struct made *made, const uint8_t *der,
                      size_t der_bytes)
{
    pthread_mutex_lock(&door->ring_lock);
    bool first = door->head == door->tail;
    bool pushed = push(door, settings, made, der, der_bytes);
    bool may_wait = (made->made_at < door->collect_until || door->looks) && door->head - door->tail < RING_MAX / 2;
    first = first && !door->looks;
    pthread_mutex_unlock(&door->ring_lock);
    if (!pushed)
        return KEPT_ASK;
    if (!may_wait)
        return KEPT_PUBLISH;
    if (first)
        wake(settings->wakeup);
    return KEPT_DONE;
}

enum kept door_keep_session(struct door *door, const uint8_t *id, size_t id_bytes, const uint8_t *der,
                            size_t der_bytes, uint64_t token, bool tls13)
{
    enum kept kept = KEPT_ASK;
    pthread_rwlock_rdlock(&door->lock);
    const struct settings *settings = &door->settings;
    if (atomic_load(&door->open) && settings->own != NULL && id_bytes > 0 && id_bytes <= ID_BYTES_MAX) {
        struct made made = {.id_bytes = (uint8_t)id_bytes, .made_at = monotonic()};
        memcpy(made.id, id, id_bytes);
        made.binding = settings->binding;
        made.born_at = token ? settings->zero + (double)(token >> BIRTH_SHIFT) / 1000 : made.made_at;
        double lifetime_s = tls13 ? settings->lifetime13_s : settings->lifetime12_s;
        double left_s = made.born_at + settings->lineage_s - made.made_at;
        lifetime_s = token && left_s < lifetime_s ? left_s : lifetime_s;
        made.expires_at = made.made_at + lifetime_s;
        /* At the end of a lineage nothing is kept: the next handshake is a full one, with which a new one begins. */
        kept = lifetime_s <= 0 ? KEPT_DONE : keep(door, settings, &made, der, der_bytes);
    }
    pthread_rwlock_unlock(&door->lock);
    return kept;
}

unsigned door_waiting(struct door *door, struct made *rows, unsigned most, struct filing *filing)
{
    pthread_rwlock_rdlock(&door->lock);
    const struct settings *settings = &door->settings;
    *filing = (struct filing){settings->own, settings->stream, settings->binding};
    if (filing->own != NULL)
        table_keep(filing->own);
    pthread_rwlock_unlock(&door->lock);
    pthread_mutex_lock(&door->ring_lock);
    unsigned waiting = filing->own == NULL ? 0 : door->head - door->tail, count = waiting < most ? waiting : most;
    for (unsigned at = 0; at < count; at++)
        rows[at] = door->ring[(door->tail + at) % RING_MAX];
    pthread_mutex_unlock(&door->ring_lock);
    return count;
}

void door_taken(struct door *door, unsigned count)
{
    pthread_mutex_lock(&door->ring_lock);
    while (count-- > 0)
        wipe(&door->ring[door->tail++ % RING_MAX], sizeof *door->ring);
    pthread_mutex_unlock(&door->ring_lock);
}

/* --- tickets --- */

struct ticket_keys *door_tickets(struct door *door)
{
    pthread_rwlock_rdlock(&door->lock);
    struct ticket_keys *keys = atomic_load(&door->open) ? ticket_keys_keep(door->tickets) : NULL;
    pthread_rwlock_unlock(&door->lock);
    return keys;
}

uint32_t door_maker(struct door *door, const uint8_t *node, size_t bytes)
{
    pthread_rwlock_rdlock(&door->lock);
    uint32_t low = maker_find(door->makers, node, bytes);
    pthread_rwlock_unlock(&door->lock);
    return low;
}

void door_count_ticket_issued(struct door *door)
{
    atomic_fetch_add(&door->issued, 1);
}

void door_count_ticket_opened(struct door *door, double key_age_s)
{
    atomic_fetch_add(&door->opened[ticket_age(key_age_s)], 1);
}

/* Puts keys in the place of those before; with NULL, handshakes ask in Python. */
static void replace_tickets(struct door *door, struct ticket_keys *fresh)
{
    pthread_rwlock_wrlock(&door->lock);
    struct ticket_keys *former = door->tickets;
    door->tickets = fresh;
    pthread_rwlock_unlock(&door->lock);
    ticket_keys_drop(former);
}

/* --- life --- */

static struct door *door_new(void)
{
    struct door *door = calloc(1, sizeof *door);
    if (door == NULL)
        return NULL;
    atomic_init(&door->owners, 1);
    atomic_init(&door->open, true);
    pthread_rwlock_init(&door->lock, NULL);
    pthread_mutex_init(&door->ring_lock, NULL);
    door->settings.inbox = door->settings.wakeup = -1;
    pthread_mutex_lock(&all_lock);
    door->next = all_doors;
    all_doors = door;
    pthread_mutex_unlock(&all_lock);
    return door;
}

static void drop_tables(struct settings *settings)
{
    table_drop(settings->own);
    for (int at = 0; at < settings->tables_count; at++)
        table_drop(settings->tables[at]);
}

void door_keep(struct door *door)
{
    atomic_fetch_add(&door->owners, 1);
}

void door_drop(struct door *door)
{
    if (door == NULL || atomic_fetch_sub(&door->owners, 1) != 1)
        return;
    pthread_mutex_lock(&all_lock);
    struct door **at = &all_doors;
    while (*at != door)
        at = &(*at)->next;
    *at = door->next;
    pthread_mutex_unlock(&all_lock);
    drop_tables(&door->settings);
    wipe(&door->settings.ids, sizeof door->settings.ids);
    ticket_keys_drop(door->tickets);
    free(door->makers);
    if (door->ring != NULL)
        wipe(door->ring, RING_MAX * sizeof *door->ring);
    free(door->ring);
    pthread_rwlock_destroy(&door->lock);
    pthread_mutex_destroy(&door->ring_lock);
    free(door);
}

bool door_open(struct door *door)
{
    return atomic_load(&door->open);
}

void doors_lock_all(void)
{
    for (struct door *door = all_doors; door != NULL; door = door->next) {
        pthread_rwlock_wrlock(&door->lock);
        pthread_mutex_lock(&door->ring_lock);
    }
}

void doors_unlock_all(bool forked)
{
    for (struct door *door = all_doors; door != NULL; door = door->next) {
        pthread_mutex_unlock(&door->ring_lock);
        if (forked) { /* the C library knows who holds such a lock by a thread's number, and the child's is another */
            atomic_store(&door->open, false);
            pthread_rwlock_init(&door->lock, NULL);
        } else {
            pthread_rwlock_unlock(&door->lock);
        }
    }
}

/* --- the Python type --- */

typedef struct {
    PyObject_HEAD
    struct door *door; /* owned; never NULL once made */
} DoorObject;

PyTypeObject *door_type;

struct door *door_of(PyObject *object)
{
    return ((DoorObject *)object)->door;
}

static PyObject *door_make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (!PyArg_ParseTuple(args, ":Door") || (kwargs != NULL && PyDict_Size(kwargs) != 0))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    DoorObject *self = (DoorObject *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    self->door = door_new();
    if (self->door == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void door_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    door_drop(door_of(self));
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* Fills `settings` with tables of its own; false with an error set. */
static bool take_tables(struct settings *settings, PyObject *tables)
{
    Py_ssize_t count = PyTuple_Size(tables);
    if (count < 0)
        return false;
    if (count > TABLES_MAX) {
        PyErr_SetString(PyExc_ValueError, "more tables than a node has VIPs");
        return false;
    }
    for (Py_ssize_t at = 0; at < count; at++) {
        PyObject *table = PyTuple_GetItem(tables, at);
        if (!PyObject_TypeCheck(table, table_type)) {
            PyErr_SetString(PyExc_TypeError, "a table is a VipCache");
            return false;
        }
    }
    for (Py_ssize_t at = 0; at < count; at++) {
        settings->tables[at] = table_of(PyTuple_GetItem(tables, at));
        table_keep(settings->tables[at]);
    }
    settings->tables_count = (int)count;
    settings->own = count ? settings->tables[0] : NULL;
    if (settings->own != NULL)
        table_keep(settings->own);
    return true;
}

static PyObject *door_bind(PyObject *self, PyObject *args)
{
    struct settings fresh = {.inbox = -1, .wakeup = -1}, old;
    unsigned long stream;
    PyObject *tables;
    if (!PyArg_ParseTuple(args, "O!kddddd:bind", &PyTuple_Type, &tables, &stream, &fresh.epoch, &fresh.zero,
                          &fresh.lineage_s, &fresh.lifetime12_s, &fresh.lifetime13_s))
        return NULL;
    fresh.stream = (uint32_t)stream;
    if (!take_tables(&fresh, tables))
        return NULL;
    struct door *door = door_of(self);
    pthread_rwlock_wrlock(&door->lock);
    old = door->settings;
    fresh.inbox = old.inbox;
    fresh.wakeup = old.wakeup;
    fresh.ahead = old.ahead;
    fresh.ids = old.ids;
    fresh.binding = old.binding + 1;
    door->settings = fresh;
    pthread_rwlock_unlock(&door->lock);
    drop_tables(&old);
    wipe(&old.ids, sizeof old.ids);
    wipe(&fresh.ids, sizeof fresh.ids);
    Py_RETURN_NONE;
}

static PyObject *door_ids(PyObject *self, PyObject *args)
{
    const char *secrets, *life;
    Py_ssize_t bytes, life_bytes;
    double ahead;
    struct id_keys fresh;
    if (!PyArg_ParseTuple(args, "y#y#d:ids", &secrets, &bytes, &life, &life_bytes, &ahead))
        return NULL;
    if (!id_keys_take(&fresh, (const uint8_t *)secrets, (size_t)bytes, (const uint8_t *)life, (size_t)life_bytes)) {
        PyErr_SetString(PyExc_ValueError, "keys of ids come in pairs of 32 bytes, four at most, and a life has 7");
        return NULL;
    }
    struct door *door = door_of(self);
    pthread_rwlock_wrlock(&door->lock);
    door->settings.ids = fresh;
    door->settings.ahead = ahead;
    pthread_rwlock_unlock(&door->lock);
    wipe(&fresh, sizeof fresh);
    Py_RETURN_NONE;
}

static PyObject *door_make_id(PyObject *self, PyObject *unused)
{
    (void)unused;
    uint8_t id[ID_BYTES_MAX];
    if (!door_mint(door_of(self), id))
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize((const char *)id, sizeof id);
}

static PyObject *door_knows_id(PyObject *self, PyObject *session_id)
{
    char *data;
    Py_ssize_t bytes;
    if (PyBytes_AsStringAndSize(session_id, &data, &bytes) < 0)
        return NULL;
    return PyBool_FromLong(door_minted(door_of(self), (const uint8_t *)data, (size_t)bytes));
}

static PyObject *door_watch(PyObject *self, PyObject *args)
{
    int inbox, wakeup;
    if (!PyArg_ParseTuple(args, "ii:watch", &inbox, &wakeup))
        return NULL;
    struct door *door = door_of(self);
    pthread_rwlock_wrlock(&door->lock);
    door->settings.inbox = inbox;
    door->settings.wakeup = wakeup;
    pthread_rwlock_unlock(&door->lock);
    Py_RETURN_NONE;
}

static PyObject *door_allow(PyObject *self, PyObject *args)
{
    unsigned long stream, generation, low;
    if (!PyArg_ParseTuple(args, "kkk:allow", &stream, &generation, &low))
        return NULL;
    if (low >> BIRTH_SHIFT || low == 0) {
        PyErr_SetString(PyExc_ValueError, "those bits are not a stream's");
        return NULL;
    }
    allow(door_of(self), (uint32_t)stream, (unsigned)generation, (uint32_t)low);
    Py_RETURN_NONE;
}

static PyObject *door_generation(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct door *door = door_of(self);
    pthread_rwlock_rdlock(&door->lock);
    unsigned generation = door->settings.own == NULL ? 0 : atomic_load(&door->settings.own->generation);
    pthread_rwlock_unlock(&door->lock);
    return PyLong_FromUnsignedLong(generation);
}

/* The oldest session of the ring with its DER, as a tuple; NULL with or without an error set when there is none. */
static PyObject *take_one(struct door *door, struct table *own, unsigned binding)
{
    struct made made;
    pthread_mutex_lock(&door->ring_lock);
    bool some = door->head != door->tail;
    if (some) {
        struct made *slot = &door->ring[door->tail++ % RING_MAX];
        made = *slot;
        wipe(slot, sizeof *slot);
    }
    pthread_mutex_unlock(&door->ring_lock);
    if (!some)
        return NULL;
    uint8_t packed[HEAD_BYTES + DER_BYTES_MAX];
    size_t bytes = own == NULL ? 0 : table_find_pending(own, made.id, made.id_bytes, packed);
    const char *der = bytes > HEAD_BYTES ? (const char *)packed + HEAD_BYTES : "";
    PyObject *taken = Py_BuildValue("(y#y#dddO)", made.id, (Py_ssize_t)made.id_bytes, der,
                                    (Py_ssize_t)(bytes > HEAD_BYTES ? bytes - HEAD_BYTES : 0), made.made_at,
                                    made.expires_at, made.born_at, made.binding == binding ? Py_True : Py_False);
    wipe(packed, bytes);
    wipe(&made, sizeof made);
    return taken;
}

/* All that wait: id, DER, when made, when it ends, when its lineage began, and whether the settings are still those. */
static PyObject *door_take(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct door *door = door_of(self);
    pthread_rwlock_rdlock(&door->lock);
    struct table *own = door->settings.own;
    unsigned binding = door->settings.binding;
    if (own != NULL)
        table_keep(own);
    pthread_rwlock_unlock(&door->lock);
    PyObject *all = PyList_New(0), *one;
    while (all != NULL && (one = take_one(door, own, binding)) != NULL) {
        if (PyList_Append(all, one) < 0)
            Py_CLEAR(all);
        Py_DECREF(one);
    }
    if (PyErr_Occurred())
        Py_CLEAR(all);
    table_drop(own);
    return all;
}

static PyObject *door_set_tickets(PyObject *self, PyObject *args)
{
    struct ticket_keys *fresh = ticket_keys_from(args);
    if (fresh == NULL)
        return NULL;
    replace_tickets(door_of(self), fresh);
    Py_RETURN_NONE;
}

static PyObject *door_drop_tickets(PyObject *self, PyObject *unused)
{
    (void)unused;
    replace_tickets(door_of(self), NULL);
    Py_RETURN_NONE;
}

static PyObject *door_know_maker(PyObject *self, PyObject *args)
{
    const char *node;
    Py_ssize_t bytes;
    unsigned long low;
    if (!PyArg_ParseTuple(args, "y#k:know_maker", &node, &bytes, &low))
        return NULL;
    if (bytes <= 0 || bytes > NODE_BYTES_MAX || low >> BIRTH_SHIFT || low == 0) {
        PyErr_SetString(PyExc_ValueError, "no name of a node, or those bits are not a stream's");
        return NULL;
    }
    struct door *door = door_of(self);
    pthread_rwlock_wrlock(&door->lock);
    if (door->makers == NULL)
        door->makers = calloc(1, sizeof *door->makers);
    if (door->makers != NULL)
        maker_remember(door->makers, (const uint8_t *)node, (size_t)bytes, (uint32_t)low);
    pthread_rwlock_unlock(&door->lock);
    Py_RETURN_NONE;
}

static PyObject *door_ticket_counts(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct door *door = door_of(self);
    return Py_BuildValue("(KKKKK)", (unsigned long long)atomic_exchange(&door->issued, 0),
                         (unsigned long long)atomic_exchange(&door->opened[0], 0),
                         (unsigned long long)atomic_exchange(&door->opened[1], 0),
                         (unsigned long long)atomic_exchange(&door->opened[2], 0),
                         (unsigned long long)atomic_exchange(&door->opened[3], 0));
}

static PyObject *door_collect(PyObject *self, PyObject *args)
{
    double until;
    int looks;
    if (!PyArg_ParseTuple(args, "dp:collect", &until, &looks))
        return NULL;
    struct door *door = door_of(self);
    pthread_mutex_lock(&door->ring_lock);
    door->collect_until = until;
    door->looks = looks != 0;
    unsigned waiting = door->head - door->tail;
    pthread_mutex_unlock(&door->ring_lock);
    return PyLong_FromUnsignedLong(waiting);
}

static PyObject *door_dismiss(PyObject *self, PyObject *session_id)
{
    char *data;
    Py_ssize_t bytes;
    if (PyBytes_AsStringAndSize(session_id, &data, &bytes) < 0)
        return NULL;
    struct door *door = door_of(self);
    pthread_rwlock_rdlock(&door->lock);
    if (door->settings.own != NULL && bytes <= ID_BYTES_MAX)
        table_drop_pending(door->settings.own, (const uint8_t *)data, (size_t)bytes);
    pthread_rwlock_unlock(&door->lock);
    Py_RETURN_NONE;
}

static PyObject *door_close(PyObject *self, PyObject *unused)
{
    (void)unused;
    atomic_store(&door_of(self)->open, false);
    Py_RETURN_NONE;
}

static PyObject *door_counts(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct door *door = door_of(self);
    return Py_BuildValue("(KKKKKKKKKK)", (unsigned long long)atomic_exchange(&door->local, 0),
                         (unsigned long long)atomic_exchange(&door->remote, 0),
                         (unsigned long long)atomic_exchange(&door->pulled, 0),
                         (unsigned long long)atomic_exchange(&door->miss, 0),
                         (unsigned long long)atomic_exchange(&door->foreign, 0),
                         (unsigned long long)atomic_exchange(&door->full, 0),
                         (unsigned long long)atomic_exchange(&door->hit_not_resumed, 0),
                         (unsigned long long)atomic_exchange(&door->resumed[0], 0),
                         (unsigned long long)atomic_exchange(&door->resumed[1], 0),
                         (unsigned long long)atomic_exchange(&door->resumed[2], 0));
}

static Py_ssize_t door_length(PyObject *self)
{
    struct door *door = door_of(self);
    pthread_mutex_lock(&door->ring_lock);
    unsigned waiting = door->head - door->tail;
    pthread_mutex_unlock(&door->ring_lock);
    return (Py_ssize_t)waiting;
}

static PyObject *door_unread(PyObject *self, PyObject *flag)
{
    int value = PyObject_IsTrue(flag);
    if (value < 0)
        return NULL;
    atomic_store(&door_of(self)->unread, value != 0);
    Py_RETURN_NONE;
}

static PyObject *door_mark(PyObject *self, PyObject *flag)
{
    int value = PyObject_IsTrue(flag);
    if (value < 0)
        return NULL;
    atomic_store(&door_of(self)->marks, value != 0);
    Py_RETURN_NONE;
}

static PyObject *door_ask(PyObject *self, PyObject *args)
{
    int asks, waits;
    if (!PyArg_ParseTuple(args, "pp:ask", &asks, &waits))
        return NULL;
    atomic_store(&door_of(self)->asks, asks != 0);
    atomic_store(&door_of(self)->waits, waits != 0);
    Py_RETURN_NONE;
}

static PyMethodDef door_methods[] = {
    {"bind", door_bind, METH_VARARGS, "Set where sessions are, and what the VIP asks of them."},
    {"watch", door_watch, METH_VARARGS, "Set the descriptors of the mesh's inbox and of the pump's wake-up."},
    {"allow", door_allow, METH_VARARGS, "Sessions of a stream may resume here, for one generation."},
    {"generation", door_generation, METH_NOARGS, "The generation that verdicts are given for."},
    {"set_tickets", door_set_tickets, METH_VARARGS, "Set the ticket keys that there are, and what is held against tickets."},
    {"drop_tickets", door_drop_tickets, METH_NOARGS, "The ticket keys have changed: ask until they are set anew."},
    {"know_maker", door_know_maker, METH_VARARGS, "What tokens say of a node that makes tickets."},
    {"ticket_counts", door_ticket_counts, METH_NOARGS, "Tickets issued, and opened by age, since the last call."},
    {"take", door_take, METH_NOARGS, "Take what was made."},
    {"push", door_push, METH_VARARGS, "File what was made and write it as a push: its bytes and the names, or None."},
    {"collect", door_collect, METH_VARARGS, "Until a moment, what is made may wait; how many wait now."},
    {"dismiss", door_dismiss, METH_O, "Forget a session that was taken and not filed."},
    {"close", door_close, METH_NOARGS, "Find and keep nothing from now on."},
    {"counts", door_counts, METH_NOARGS, "As core.state.counters.FoundAtDoor has them, since the last call."},
    {"ids", door_ids, METH_VARARGS, "Set the keys under which ids are made and known, and in whose name."},
    {"mint", door_make_id, METH_NOARGS, "The id for a session that is being made."},
    {"minted", door_knows_id, METH_O, "Whether a member made an id."},
    {"ask", door_ask, METH_VARARGS, "Whether what isn't here is looked for elsewhere, and waited for in the get callback."},
    {"mark", door_mark, METH_O, "Whether sessions of TLS 1.3 are good for one handshake."},
    {"unread", door_unread, METH_O, "Whether the mesh may have delivered more than its descriptor tells."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot door_slots[] = {
    {Py_tp_doc, "One VIP's way in and out for handshakes."},
    {Py_tp_new, door_make},
    {Py_tp_dealloc, door_dealloc},
    {Py_tp_methods, door_methods},
    {Py_sq_length, door_length},
    {0, NULL},
};

PyType_Spec door_spec = {"meshcache.hot._hot.Door", sizeof(DoorObject), 0, Py_TPFLAGS_DEFAULT, door_slots};
