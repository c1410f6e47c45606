/* Which context a connection gets by the server name in its ClientHello: the twin of tls.names.NameMap, which fills it.
 *
 * A name leads to an SSL_CTX that is kept alive by whoever put it here, until `names_remove` has returned: the lock is
 * held while OpenSSL moves a connection there, which then has a reference of its own.
 */
#include "hot.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS_MIN = 8 };

/* One name, in lower case; "*.example" stands for one label before ".example". Owned by its table. */
struct named {
    struct named *next; /* in its bucket */
    void *ctx;          /* not owned */
    uint16_t bytes;
    uint8_t name[];
};

struct names {
    struct names *next; /* in the list of all, for fork */
    atomic_int owners;
    pthread_mutex_t lock;
    size_t count, buckets; /* a power of two */
    struct named **bucket; /* owned */
    bool refuses;          /* whoever asks for no name that is here */
};

static struct names *all_names;

static struct named **place_of(struct names *names, const uint8_t *name, size_t bytes)
{
    struct named **at = &names->bucket[keyed_hash(name, bytes) & (names->buckets - 1)];
    while (*at != NULL && ((*at)->bytes != bytes || memcmp((*at)->name, name, bytes) != 0))
        at = &(*at)->next;
    return at;
}

/* Doubles the buckets; without memory for it the chains just grow longer. */
static void grow(struct names *names)
{
    struct named **former = names->bucket, **fresh = calloc(2 * names->buckets, sizeof *fresh);
    if (fresh == NULL)
        return;
    size_t buckets = names->buckets;
    names->bucket = fresh;
    names->buckets = 2 * buckets;
    for (size_t at = 0; at < buckets; at++)
        for (struct named *named = former[at], *next; named != NULL; named = next) {
            next = named->next;
            struct named **place = place_of(names, named->name, named->bytes);
            named->next = *place;
            *place = named;
        }
    free(former);
}

static struct names *names_new(bool refuses)
{
    struct names *names = calloc(1, sizeof *names);
    struct named **bucket = calloc(BUCKETS_MIN, sizeof *bucket);
    if (names == NULL || bucket == NULL) {
        free(names);
        free(bucket);
        return NULL;
    }
    atomic_init(&names->owners, 1);
    pthread_mutex_init(&names->lock, NULL);
    names->buckets = BUCKETS_MIN;
    names->bucket = bucket;
    names->refuses = refuses;
    pthread_mutex_lock(&all_lock);
    names->next = all_names;
    all_names = names;
    pthread_mutex_unlock(&all_lock);
    return names;
}

void names_keep(struct names *names)
{
    atomic_fetch_add(&names->owners, 1);
}

void names_drop(struct names *names)
{
    if (names == NULL || atomic_fetch_sub(&names->owners, 1) != 1)
        return;
    pthread_mutex_lock(&all_lock);
    struct names **at = &all_names;
    while (*at != names)
        at = &(*at)->next;
    *at = names->next;
    pthread_mutex_unlock(&all_lock);
    for (size_t bucket = 0; bucket < names->buckets; bucket++)
        for (struct named *named = names->bucket[bucket], *next; named != NULL; named = next) {
            next = named->next;
            free(named);
        }
    free(names->bucket);
    pthread_mutex_destroy(&names->lock);
    free(names);
}

/* The host name in the body of a server_name extension, in lower case and without a final dot; 0 for whatever isn't a
 * well-formed one, as tls.scopes.host_name has it. `name` has room for EXTENSION_BYTES_MAX. */
static size_t host_name(const uint8_t *extension, size_t bytes, uint8_t *name)
{
    if (extension == NULL || bytes <= 5 || bytes > EXTENSION_BYTES_MAX || extension[2] != 0 ||
        (size_t)(extension[0] << 8 | extension[1]) != bytes - 2 || (size_t)(extension[3] << 8 | extension[4]) != bytes - 5)
        return 0;
    size_t length = bytes - 5;
    for (size_t at = 0; at < length; at++) {
        uint8_t letter = extension[5 + at];
        if (letter == 0 || letter > 127)
            return 0;
        name[at] = letter >= 'A' && letter <= 'Z' ? (uint8_t)(letter + 'a' - 'A') : letter;
    }
    return name[length - 1] == '.' ? length - 1 : length;
}

/* The entry for a name, its own or the wildcard's; NULL when there is none. With the lock held; spoils `name`. */
static struct named *find(struct names *names, uint8_t *name, size_t bytes)
{
    if (bytes == 0 || name[0] == '*' || name[0] == '.')
        return NULL; /* a pattern is no name */
    struct named *found = *place_of(names, name, bytes);
    uint8_t *dot = memchr(name, '.', bytes);
    if (found != NULL || dot == NULL || dot + 1 == name + bytes)
        return found;
    dot[-1] = '*';
    return *place_of(names, dot - 1, (size_t)(name + bytes - (dot - 1)));
}

enum named_as names_move(struct names *names, const uint8_t *extension, size_t bytes, void *ssl, const void *listening,
                         void *(*current)(const void *), void *(*move)(void *, void *), const void **chosen)
{
    uint8_t name[EXTENSION_BYTES_MAX];
    size_t length = host_name(extension, bytes, name);
    pthread_mutex_lock(&names->lock);
    struct named *found = find(names, name, length);
    void *ctx = found != NULL ? found->ctx : (void *)(uintptr_t)listening;
    enum named_as answer = found != NULL || !names->refuses ? NAMED_MOVED : NAMED_REFUSED;
    if (answer == NAMED_MOVED && current(ssl) != ctx && move(ssl, ctx) == NULL)
        answer = NAMED_REFUSED; /* no memory */
    pthread_mutex_unlock(&names->lock);
    *chosen = ctx;
    return answer;
}

void names_lock_all(void)
{
    for (struct names *names = all_names; names != NULL; names = names->next)
        pthread_mutex_lock(&names->lock);
}

void names_unlock_all(void)
{
    for (struct names *names = all_names; names != NULL; names = names->next)
        pthread_mutex_unlock(&names->lock);
}

/* --- the Python type --- */

typedef struct {
    PyObject_HEAD
    struct names *names; /* owned; never NULL once made */
} NamesObject;

PyTypeObject *names_type;

struct names *names_of(PyObject *object)
{
    return ((NamesObject *)object)->names;
}

static PyObject *names_make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    int refuses;
    if (!PyArg_ParseTuple(args, "p:ContextNames", &refuses) || (kwargs != NULL && PyDict_Size(kwargs) != 0))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    NamesObject *self = (NamesObject *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    self->names = names_new(refuses != 0);
    if (self->names == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void names_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    names_drop(names_of(self));
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *names_put(PyObject *self, PyObject *args)
{
    struct names *names = names_of(self);
    unsigned long long ctx;
    const char *name;
    Py_ssize_t bytes;
    if (!PyArg_ParseTuple(args, "y#K:put", &name, &bytes, &ctx))
        return NULL;
    if (bytes <= 0 || bytes > EXTENSION_BYTES_MAX) {
        PyErr_SetString(PyExc_ValueError, "a name of a length that no ClientHello can have");
        return NULL;
    }
    struct named *fresh = malloc(sizeof *fresh + (size_t)bytes);
    if (fresh == NULL)
        return PyErr_NoMemory();
    fresh->next = NULL;
    fresh->ctx = (void *)(uintptr_t)ctx;
    fresh->bytes = (uint16_t)bytes;
    memcpy(fresh->name, name, (size_t)bytes);
    pthread_mutex_lock(&names->lock);
    struct named **place = place_of(names, fresh->name, fresh->bytes);
    bool known = *place != NULL;
    if (known) {
        (*place)->ctx = fresh->ctx;
    } else {
        *place = fresh;
        if (++names->count > names->buckets)
            grow(names);
    }
    pthread_mutex_unlock(&names->lock);
    if (known)
        free(fresh);
    Py_RETURN_NONE;
}

static PyObject *names_remove(PyObject *self, PyObject *args)
{
    struct names *names = names_of(self);
    const char *name;
    Py_ssize_t bytes;
    if (!PyArg_ParseTuple(args, "y#:remove", &name, &bytes))
        return NULL;
    pthread_mutex_lock(&names->lock);
    struct named **place = place_of(names, (const uint8_t *)name, (size_t)bytes), *former = *place;
    if (former != NULL) {
        *place = former->next;
        names->count--;
    }
    pthread_mutex_unlock(&names->lock);
    free(former);
    return PyBool_FromLong(former != NULL);
}

static Py_ssize_t names_length(PyObject *self)
{
    struct names *names = names_of(self);
    pthread_mutex_lock(&names->lock);
    size_t count = names->count;
    pthread_mutex_unlock(&names->lock);
    return (Py_ssize_t)count;
}

static PyMethodDef names_methods[] = {
    {"put", names_put, METH_VARARGS, "Let a name lead to a context from now on."},
    {"remove", names_remove, METH_VARARGS, "Let a name lead nowhere; says whether it did."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot names_slots[] = {
    {Py_tp_doc, "The contexts of one listening context by server name, which handshakes read without the interpreter."},
    {Py_tp_new, names_make},
    {Py_tp_dealloc, names_dealloc},
    {Py_tp_methods, names_methods},
    {Py_mp_length, names_length},
    {0, NULL},
};

PyType_Spec names_spec = {"meshcache.hot._hot.ContextNames", sizeof(NamesObject), 0, Py_TPFLAGS_DEFAULT, names_slots};
