/* Which session id context a connection gets, by the server_name extension of its ClientHello: the remembered answers of
 * tls.scopes.Scopes, which works them out. Two sets over the same items: by extension, and by context for `gave`.
 */
#include "hot.h"

#include <stdlib.h>
#include <string.h>

enum {
    SLOTS_MIN = 8, /* most servers are asked for a handful of names; one with a certificate for each has many memories */
    ABSENT = 0xFFFF,        /* "bytes" of the extension of a client that sent none */
};

/* One answer. Owned by its memory. */
struct answer {
    uint16_t bytes;
    bool given;
    uint8_t context[CONTEXT_BYTES];
    uint8_t extension[];
};

struct scopes {
    struct scopes *next; /* in the list of all, for fork */
    atomic_int owners;
    pthread_mutex_t lock;
    size_t count, slots;          /* a power of two; half full at most, so that a search ends soon */
    struct answer **by_extension; /* owned, and so are the answers */
    struct answer **by_context;   /* owned, the answers borrowed from the other set */
};

static struct scopes *all_scopes;

static uint16_t length_of(const uint8_t *extension, size_t bytes)
{
    return (uint16_t)(extension == NULL ? ABSENT : bytes);
}

static size_t stored(uint16_t bytes)
{
    return bytes == ABSENT ? 0 : bytes;
}

/* The slot of this extension, or the empty one where it would be. */
static struct answer **slot_for(struct scopes *scopes, const uint8_t *extension, uint16_t bytes)
{
    uint64_t mask = scopes->slots - 1, at = bytes == ABSENT ? 0 : keyed_hash(extension, bytes) & mask;
    for (;; at = (at + 1) & mask) {
        struct answer *answer = scopes->by_extension[at];
        if (answer == NULL || (answer->bytes == bytes && memcmp(answer->extension, extension ? extension : answer->extension, stored(bytes)) == 0))
            return &scopes->by_extension[at];
    }
}

static struct answer **slot_of_context(struct scopes *scopes, const uint8_t *context)
{
    uint64_t mask = scopes->slots - 1, at = keyed_hash(context, CONTEXT_BYTES) & mask;
    while (scopes->by_context[at] != NULL && memcmp(scopes->by_context[at]->context, context, CONTEXT_BYTES) != 0)
        at = (at + 1) & mask;
    return &scopes->by_context[at];
}

static void forget_all(struct scopes *scopes)
{
    for (size_t at = 0; at < scopes->slots; at++) {
        free(scopes->by_extension[at]);
        scopes->by_extension[at] = scopes->by_context[at] = NULL;
    }
    scopes->count = 0;
}

static bool give_slots(struct scopes *scopes, size_t slots)
{
    struct answer **by_extension = calloc(slots, sizeof *by_extension), **by_context = calloc(slots, sizeof *by_context);
    if (by_extension == NULL || by_context == NULL) {
        free(by_extension);
        free(by_context);
        return false;
    }
    scopes->by_extension = by_extension;
    scopes->by_context = by_context;
    scopes->slots = slots;
    return true;
}

static void put(struct scopes *scopes, struct answer *answer)
{
    *slot_for(scopes, answer->bytes == ABSENT ? NULL : answer->extension, answer->bytes) = answer;
    if (answer->given) {
        struct answer **other = slot_of_context(scopes, answer->context);
        *other = *other == NULL ? answer : *other;
    }
}

/* Makes room for one more; false without memory, where there is none. */
static bool make_room(struct scopes *scopes)
{
    if (2 * (scopes->count + 1) <= scopes->slots)
        return true;
    struct answer **former = scopes->by_extension, **former_by_context = scopes->by_context;
    size_t slots = scopes->slots;
    if (!give_slots(scopes, 2 * slots))
        return false;
    for (size_t at = 0; at < slots; at++)
        if (former[at] != NULL)
            put(scopes, former[at]);
    free(former);
    free(former_by_context);
    return true;
}

static struct scopes *scopes_new(void)
{
    struct scopes *scopes = calloc(1, sizeof *scopes);
    if (scopes == NULL || !give_slots(scopes, SLOTS_MIN)) {
        free(scopes);
        return NULL;
    }
    atomic_init(&scopes->owners, 1);
    pthread_mutex_init(&scopes->lock, NULL);
    pthread_mutex_lock(&all_lock);
    scopes->next = all_scopes;
    all_scopes = scopes;
    pthread_mutex_unlock(&all_lock);
    return scopes;
}

void scopes_keep(struct scopes *scopes)
{
    atomic_fetch_add(&scopes->owners, 1);
}

void scopes_drop(struct scopes *scopes)
{
    if (scopes == NULL || atomic_fetch_sub(&scopes->owners, 1) != 1)
        return;
    pthread_mutex_lock(&all_lock);
    struct scopes **at = &all_scopes;
    while (*at != scopes)
        at = &(*at)->next;
    *at = scopes->next;
    pthread_mutex_unlock(&all_lock);
    forget_all(scopes);
    free(scopes->by_extension);
    free(scopes->by_context);
    pthread_mutex_destroy(&scopes->lock);
    free(scopes);
}

enum scope_answer scopes_find(struct scopes *scopes, const uint8_t *extension, size_t bytes, uint8_t *context)
{
    if (extension != NULL && bytes > EXTENSION_BYTES_MAX)
        return SCOPE_UNKNOWN;
    enum scope_answer found = SCOPE_UNKNOWN;
    pthread_mutex_lock(&scopes->lock);
    const struct answer *answer = *slot_for(scopes, extension, length_of(extension, bytes));
    if (answer != NULL) {
        found = answer->given ? SCOPE_GIVEN : SCOPE_NONE;
        memcpy(context, answer->context, CONTEXT_BYTES);
    }
    pthread_mutex_unlock(&scopes->lock);
    return found;
}

void scopes_remember(struct scopes *scopes, const uint8_t *extension, size_t bytes, const uint8_t *context)
{
    if (extension != NULL && bytes > EXTENSION_BYTES_MAX)
        return;
    uint16_t length = length_of(extension, bytes);
    struct answer *answer = calloc(1, sizeof *answer + stored(length));
    if (answer == NULL)
        return;
    answer->bytes = length;
    answer->given = context != NULL;
    if (context != NULL)
        memcpy(answer->context, context, CONTEXT_BYTES);
    if (extension != NULL)
        memcpy(answer->extension, extension, stored(length));
    pthread_mutex_lock(&scopes->lock);
    if (scopes->count >= SCOPES_MAX)
        forget_all(scopes);
    bool kept = *slot_for(scopes, extension, length) == NULL && make_room(scopes);
    if (kept) {
        put(scopes, answer);
        scopes->count++;
    }
    pthread_mutex_unlock(&scopes->lock);
    if (!kept)
        free(answer);
}

bool scopes_gave(struct scopes *scopes, const uint8_t *context)
{
    pthread_mutex_lock(&scopes->lock);
    bool gave = *slot_of_context(scopes, context) != NULL;
    pthread_mutex_unlock(&scopes->lock);
    return gave;
}

void scopes_lock_all(void)
{
    for (struct scopes *scopes = all_scopes; scopes != NULL; scopes = scopes->next)
        pthread_mutex_lock(&scopes->lock);
}

void scopes_unlock_all(void)
{
    for (struct scopes *scopes = all_scopes; scopes != NULL; scopes = scopes->next)
        pthread_mutex_unlock(&scopes->lock);
}

/* --- the Python type: a handle that a Scopes object keeps --- */

typedef struct {
    PyObject_HEAD
    struct scopes *scopes; /* owned; never NULL once made */
} ScopesObject;

PyTypeObject *scopes_type;

struct scopes *scopes_of(PyObject *object)
{
    return ((ScopesObject *)object)->scopes;
}

static PyObject *scopes_make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (!PyArg_ParseTuple(args, ":Answers") || (kwargs != NULL && PyDict_Size(kwargs) != 0))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    ScopesObject *self = (ScopesObject *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    self->scopes = scopes_new();
    if (self->scopes == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void scopes_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    scopes_drop(scopes_of(self));
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *scopes_known(PyObject *self, void *unused)
{
    (void)unused;
    struct scopes *scopes = scopes_of(self);
    pthread_mutex_lock(&scopes->lock);
    size_t count = scopes->count;
    pthread_mutex_unlock(&scopes->lock);
    return PyLong_FromSize_t(count);
}

static PyGetSetDef scopes_getters[] = {
    {"known", scopes_known, NULL, "How many answers are remembered.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot scopes_slots[] = {
    {Py_tp_doc, "Remembered answers of one Scopes, which handshakes read without the interpreter."},
    {Py_tp_new, scopes_make},
    {Py_tp_dealloc, scopes_dealloc},
    {Py_tp_getset, scopes_getters},
    {0, NULL},
};

PyType_Spec scopes_spec = {"meshcache.hot._hot.Answers", sizeof(ScopesObject), 0, Py_TPFLAGS_DEFAULT, scopes_slots};
