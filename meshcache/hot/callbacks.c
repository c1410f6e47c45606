/* The functions that OpenSSL is given, a set for each OpenSSL in the process, since get and new aren't told which one calls;
 * and the Python type that has them, adds attachments, and counts handshakes that ended well.
 */
#include "callbacks.h"

#include <stdlib.h>
#include <string.h>

static int hello(SSL *ssl, int *alert, void *ctx)
{
    return on_hello(ssl, alert, ctx);
}

static void removed(SSL_CTX *ctx, SSL_SESSION *session)
{
    on_remove(ctx, session);
}

static SSL_SESSION *get_0(SSL *ssl, const uint8_t *id, int bytes, int *copy)
{
    return on_get(&libraries[0], ssl, id, bytes, copy);
}

static SSL_SESSION *get_1(SSL *ssl, const uint8_t *id, int bytes, int *copy)
{
    return on_get(&libraries[1], ssl, id, bytes, copy);
}

static SSL_SESSION *get_2(SSL *ssl, const uint8_t *id, int bytes, int *copy)
{
    return on_get(&libraries[2], ssl, id, bytes, copy);
}

static SSL_SESSION *get_3(SSL *ssl, const uint8_t *id, int bytes, int *copy)
{
    return on_get(&libraries[3], ssl, id, bytes, copy);
}

static int new_0(SSL *ssl, SSL_SESSION *session)
{
    return on_new(&libraries[0], ssl, session);
}

static int new_1(SSL *ssl, SSL_SESSION *session)
{
    return on_new(&libraries[1], ssl, session);
}

static int new_2(SSL *ssl, SSL_SESSION *session)
{
    return on_new(&libraries[2], ssl, session);
}

static int new_3(SSL *ssl, SSL_SESSION *session)
{
    return on_new(&libraries[3], ssl, session);
}

static int generate_0(const SSL *ssl, uint8_t *id, unsigned *bytes)
{
    return on_generate(&libraries[0], ssl, id, bytes);
}

static int generate_1(const SSL *ssl, uint8_t *id, unsigned *bytes)
{
    return on_generate(&libraries[1], ssl, id, bytes);
}

static int generate_2(const SSL *ssl, uint8_t *id, unsigned *bytes)
{
    return on_generate(&libraries[2], ssl, id, bytes);
}

static int generate_3(const SSL *ssl, uint8_t *id, unsigned *bytes)
{
    return on_generate(&libraries[3], ssl, id, bytes);
}

static int ticket_key_0(SSL *ssl, uint8_t *name, uint8_t *iv, void *cipher, void *mac, int encrypting)
{
    return on_ticket_key(&libraries[0], ssl, name, iv, cipher, mac, encrypting);
}

static int ticket_key_1(SSL *ssl, uint8_t *name, uint8_t *iv, void *cipher, void *mac, int encrypting)
{
    return on_ticket_key(&libraries[1], ssl, name, iv, cipher, mac, encrypting);
}

static int ticket_key_2(SSL *ssl, uint8_t *name, uint8_t *iv, void *cipher, void *mac, int encrypting)
{
    return on_ticket_key(&libraries[2], ssl, name, iv, cipher, mac, encrypting);
}

static int ticket_key_3(SSL *ssl, uint8_t *name, uint8_t *iv, void *cipher, void *mac, int encrypting)
{
    return on_ticket_key(&libraries[3], ssl, name, iv, cipher, mac, encrypting);
}

static int (*const ticket_keys[LIBRARIES_MAX])(SSL *, uint8_t *, uint8_t *, void *, void *, int) = {
    ticket_key_0, ticket_key_1, ticket_key_2, ticket_key_3};
static SSL_SESSION *(*const gets[LIBRARIES_MAX])(SSL *, const uint8_t *, int, int *) = {get_0, get_1, get_2, get_3};
static int (*const news[LIBRARIES_MAX])(SSL *, SSL_SESSION *) = {new_0, new_1, new_2, new_3};
static int (*const generators[LIBRARIES_MAX])(const SSL *, uint8_t *, unsigned *) = {generate_0, generate_1, generate_2,
                                                                                     generate_3};

/* --- the Python type --- */

typedef struct {
    PyObject_HEAD
    struct callbacks *callbacks; /* not owned: it stays for ever */
    int place;
} CallbacksObject;

PyTypeObject *callbacks_type;

static PyObject *callbacks_make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"addresses", "token_index", "counted_index", "mark_index",  "scope",         "get",         "new",
                            "remove",    "made",        "ticket_key",    "ticket_made", "ticket_opened", "pause_index",
                            "paused",    "listening_index", "ticket_cipher", "ticket_mac", "used", NULL};
    unsigned long long ticket_cipher, ticket_mac;
    struct callbacks made;
    PyObject *addresses;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OiiiOOOOOOOOiOiKKO:Callbacks", names, &addresses, &made.token_index,
                                     &made.counted_index, &made.mark_index, &made.scope, &made.get, &made.new,
                                     &made.remove, &made.made, &made.ticket_key, &made.ticket_made,
                                     &made.ticket_opened, &made.pause_index, &made.paused,
                                     &made.listening_index, &ticket_cipher, &ticket_mac, &made.used))
        return NULL;
    made.ticket_cipher = (const void *)(uintptr_t)ticket_cipher;
    made.ticket_mac = (const void *)(uintptr_t)ticket_mac;
    int place = openssl_place(addresses);
    if (place < 0)
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *self = allocate(type, 0);
    struct callbacks *callbacks = self == NULL ? NULL : malloc(sizeof *callbacks);
    if (callbacks == NULL) {
        Py_XDECREF(self);
        return PyErr_NoMemory();
    }
    made.openssl = &libraries[place];
    *callbacks = made;
    Py_INCREF(made.scope);
    Py_INCREF(made.get);
    Py_INCREF(made.new);
    Py_INCREF(made.remove);
    Py_INCREF(made.made);
    Py_INCREF(made.ticket_key);
    Py_INCREF(made.ticket_made);
    Py_INCREF(made.ticket_opened);
    Py_INCREF(made.paused);
    Py_INCREF(made.used);
    ((CallbacksObject *)self)->callbacks = callbacks;
    ((CallbacksObject *)self)->place = place;
    return self;
}

static void callbacks_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *callbacks_addresses(PyObject *self, void *unused)
{
    (void)unused;
    int place = ((CallbacksObject *)self)->place;
    return Py_BuildValue(
        "{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K}", "generate", (unsigned long long)(uintptr_t)generators[place], "hello", (unsigned long long)(uintptr_t)hello, "get",
        (unsigned long long)(uintptr_t)gets[place], "new", (unsigned long long)(uintptr_t)news[place], "remove",
        (unsigned long long)(uintptr_t)removed, "ticket_key", (unsigned long long)(uintptr_t)ticket_keys[place],
        "ticket_made", (unsigned long long)(uintptr_t)on_ticket_made, "ticket_opened",
        (unsigned long long)(uintptr_t)on_ticket_opened, "ticket_argument",
        (unsigned long long)(uintptr_t)&libraries[place]);
}

static PyObject *callbacks_add(PyObject *self, PyObject *args)
{
    unsigned long long ctx;
    int verify_mode, mode, pauses;
    PyObject *attached, *scopes, *answers, *door, *names;
    if (!PyArg_ParseTuple(args, "KOOO!OiipO:add", &ctx, &attached, &scopes, scopes_type, &answers, &door, &verify_mode,
                          &mode, &pauses, &names))
        return NULL;
    if ((door != Py_None && !PyObject_TypeCheck(door, door_type)) ||
        (names != Py_None && !PyObject_TypeCheck(names, names_type))) {
        PyErr_SetString(PyExc_TypeError, "a door is a Door or None, names are ContextNames or None");
        return NULL;
    }
    struct attachment *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL)
        return PyErr_NoMemory();
    atomic_init(&fresh->owners, 1);
    fresh->ctx = (const SSL_CTX *)(uintptr_t)ctx;
    fresh->callbacks = ((CallbacksObject *)self)->callbacks;
    fresh->verify_mode = verify_mode;
    fresh->mode = (enum mode)mode;
    fresh->pauses = pauses;
    fresh->scopes = scopes_of(answers);
    scopes_keep(fresh->scopes);
    if (door != Py_None) {
        fresh->door = door_of(door);
        door_keep(fresh->door);
    }
    if (names != Py_None) {
        fresh->names = names_of(names);
        names_keep(fresh->names);
    }
    Py_INCREF(attached);
    Py_INCREF(scopes);
    fresh->attached = attached;
    fresh->scopes_object = scopes;
    attachment_replace(fresh->ctx, fresh);
    Py_RETURN_NONE;
}

static PyObject *callbacks_drop(PyObject *self, PyObject *number)
{
    (void)self;
    unsigned long long ctx = PyLong_AsUnsignedLongLong(number);
    if (PyErr_Occurred())
        return NULL;
    return PyBool_FromLong(attachment_replace((const SSL_CTX *)(uintptr_t)ctx, NULL));
}

/* --- handshakes that ended well, counted for servers that have no time to ask Python --- */

/* The SSL that a connection says it has; NULL where it says nothing, or an error is set. Its class is asked first:
 * pyOpenSSL's connections answer for each name that they lack by Python. */
static SSL *stated_ssl(PyObject *connection, PyObject *name)
{
    PyObject *stated = PyObject_GetAttr((PyObject *)Py_TYPE(connection), name);
    if (stated == NULL) {
        PyErr_Clear();
        return NULL;
    }
    Py_DECREF(stated);
    PyObject *number = PyObject_GetAttr(connection, name);
    void *ssl = number == NULL ? NULL : PyLong_AsVoidPtr(number);
    Py_XDECREF(number);
    return ssl;
}

/* False where Python has to count: nobody serves the context here, or what it made it has no door for. */
static bool count_ended(const struct callbacks *callbacks, const SSL *ssl)
{
    const struct openssl *openssl = callbacks->openssl;
    struct attachment *attachment = attachment_find(openssl->get_ctx(ssl));
    if (attachment == NULL)
        return false;
    bool counted = attachment->door != NULL;
    SSL_SESSION *session = counted ? openssl->get_session(ssl) : NULL;
    uint64_t token = session == NULL ? 0 : (uintptr_t)openssl->session_get_ex_data(session, callbacks->token_index);
    if (token != 0)
        door_count_resumed(attachment->door, token);
    attachment_drop(attachment);
    return counted;
}

static PyObject *ended(PyObject *self, PyObject *connection)
{
    CallbacksObject *owner = (CallbacksObject *)PyTuple_GetItem(self, 0);
    SSL *ssl = stated_ssl(connection, PyTuple_GetItem(self, 2));
    if (PyErr_Occurred())
        return NULL;
    if (ssl != NULL && count_ended(owner->callbacks, ssl))
        Py_RETURN_NONE;
    return PyObject_CallFunctionObjArgs(PyTuple_GetItem(self, 1), connection, NULL);
}

static PyMethodDef ended_method = {"count", ended, METH_O, "Count a handshake that ended well."};

static PyObject *callbacks_counter(PyObject *self, PyObject *otherwise)
{
    PyObject *name = PyUnicode_InternFromString("ssl_address");
    PyObject *parts = name == NULL ? NULL : PyTuple_Pack(3, self, otherwise, name);
    PyObject *made = parts == NULL ? NULL : PyCFunction_New(&ended_method, parts);
    Py_XDECREF(parts);
    Py_XDECREF(name);
    return made;
}

static PyMethodDef callbacks_methods[] = {
    {"add", callbacks_add, METH_VARARGS, "Serve a context, or serve it in another way."},
    {"drop", callbacks_drop, METH_O, "Serve a context no longer."},
    {"counter", callbacks_counter, METH_O, "What counts a connection's handshake as ended well, or asks whether to."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef callbacks_getters[] = {
    {"addresses", callbacks_addresses, NULL, "The functions that OpenSSL is to call.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot callbacks_slots[] = {
    {Py_tp_doc, "The callbacks for one OpenSSL; those they ask are kept for ever."},
    {Py_tp_new, callbacks_make},
    {Py_tp_dealloc, callbacks_dealloc},
    {Py_tp_methods, callbacks_methods},
    {Py_tp_getset, callbacks_getters},
    {0, NULL},
};

PyType_Spec callbacks_spec = {"meshcache.hot._hot.Callbacks", sizeof(CallbacksObject), 0, Py_TPFLAGS_DEFAULT,
                              callbacks_slots};
