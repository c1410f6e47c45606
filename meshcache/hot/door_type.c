/* A door as Python has it: set up with tables, keys and verdicts, and asked for what was made and counted.
 */
#include "door.h"

#include <stdlib.h>

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
    door_allow_stream(door_of(self), (uint32_t)stream, (unsigned)generation, (uint32_t)low);
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

/* The oldest session that waits, with its DER, as a tuple; NULL with or without an error set when there is none. */
static PyObject *take_one(struct door *door, struct table *own, unsigned binding)
{
    struct made made;
    pthread_mutex_lock(&door->waiting_lock);
    bool some = door->head != door->tail;
    if (some) {
        struct made *slot = &door->waiting[door->tail++ % WAITING_MAX];
        made = *slot;
        wipe(slot, sizeof *slot);
    }
    pthread_mutex_unlock(&door->waiting_lock);
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
    door_replace_tickets(door_of(self), fresh);
    Py_RETURN_NONE;
}

static PyObject *door_drop_tickets(PyObject *self, PyObject *unused)
{
    (void)unused;
    door_replace_tickets(door_of(self), NULL);
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
    pthread_mutex_lock(&door->waiting_lock);
    door->collect_until = until;
    door->looks = looks != 0;
    unsigned waiting = door->head - door->tail;
    pthread_mutex_unlock(&door->waiting_lock);
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
    pthread_mutex_lock(&door->waiting_lock);
    unsigned waiting = door->head - door->tail;
    pthread_mutex_unlock(&door->waiting_lock);
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
