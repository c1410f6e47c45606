/* TLS between memory BIOs in one call a step: the twin of `TlsStream` in stream.py, which says what each method is for.
 *
 * Decides nothing and opens nothing: OpenSSL's public functions come as addresses, no struct of its is looked into. What is
 * rare, an error or somebody who asks for pyOpenSSL's own object, is Python's. All of it runs with the interpreter's lock,
 * which is let go while a handshake is computed.
 */
#include "steps.h"

#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <structmember.h>

struct openssl openssl; /* one in a process: pyOpenSSL's */

static const struct {
    const char *name;
    size_t place;
} symbols[] = {
    {"SSL_new", offsetof(struct openssl, new)},
    {"SSL_free", offsetof(struct openssl, free)},
    {"SSL_set_accept_state", offsetof(struct openssl, set_accept_state)},
    {"SSL_set_mode", offsetof(struct openssl, set_mode)},
    {"SSL_set_bio", offsetof(struct openssl, set_bio)},
    {"SSL_do_handshake", offsetof(struct openssl, do_handshake)},
    {"SSL_get_error", offsetof(struct openssl, get_error)},
    {"SSL_read", offsetof(struct openssl, read)},
    {"SSL_write", offsetof(struct openssl, write)},
    {"SSL_shutdown", offsetof(struct openssl, shutdown)},
    {"SSL_set_shutdown", offsetof(struct openssl, set_shutdown)},
    {"SSL_version", offsetof(struct openssl, version)},
    {"SSL_session_reused", offsetof(struct openssl, session_reused)},
    {"BIO_new", offsetof(struct openssl, bio_new)},
    {"BIO_s_mem", offsetof(struct openssl, bio_s_mem)},
    {"BIO_read", offsetof(struct openssl, bio_read)},
    {"BIO_write", offsetof(struct openssl, bio_write)},
    {"BIO_free", offsetof(struct openssl, bio_free)},
    {"ERR_clear_error", offsetof(struct openssl, clear_error)},
};

static PyTypeObject *stream_type;
PyTypeObject *maker_type;

/* --- bytes that come in parts --- */

struct grown {
    char *data; /* owned */
    size_t bytes, room;
};

static bool grow(struct grown *grown, const char *data, size_t bytes)
{
    if (grown->bytes + bytes > grown->room) {
        size_t room = 2 * (grown->bytes + bytes);
        char *more = realloc(grown->data, room);
        if (more == NULL) {
            PyErr_NoMemory();
            return false;
        }
        grown->data = more;
        grown->room = room;
    }
    memcpy(grown->data + grown->bytes, data, bytes);
    grown->bytes += bytes;
    return true;
}

/* Takes all that a BIO holds; false with an error set. */
static bool drain(BIO *bio, struct grown *grown)
{
    char room[ROOM_BYTES];
    int taken;
    while ((taken = openssl.bio_read(bio, room, ROOM_BYTES)) > 0)
        if (!grow(grown, room, (size_t)taken))
            return false;
    return true;
}

static PyObject *bytes_of(struct grown *grown, bool good)
{
    PyObject *bytes = good ? PyBytes_FromStringAndSize(grown->data, (Py_ssize_t)grown->bytes) : NULL;
    free(grown->data);
    return bytes;
}

static bool put(BIO *bio, const char *data, size_t bytes)
{
    if (bytes == 0 || (bytes <= INT_MAX && openssl.bio_write(bio, data, (int)bytes) == (int)bytes))
        return true;
    openssl.clear_error();
    PyErr_NoMemory();
    return false;
}

/* --- streams --- */

static bool wrap(StreamObject *self)
{
    MakerObject *maker = self->maker;
    PyObject *known = self->connection == NULL ? Py_None : self->connection;
    PyObject *made = PyObject_CallFunction(maker->wrap, "OKKKO", maker->context, (unsigned long long)(uintptr_t)self->ssl,
                                           (unsigned long long)(uintptr_t)self->into,
                                           (unsigned long long)(uintptr_t)self->out_of, known);
    if (made == NULL)
        return false;
    Py_XDECREF(self->connection);
    self->connection = made;
    return true;
}

PyObject *stream_refused(StreamObject *self, int result)
{
    if (self->connection == NULL && !wrap(self))
        return NULL;
    PyObject *nothing = PyObject_CallFunction(self->maker->raise, "Oi", self->connection, result);
    if (nothing != NULL) {
        Py_DECREF(nothing);
        PyErr_SetString(PyExc_SystemError, "an error of OpenSSL's was no exception");
    }
    return NULL;
}

enum step stream_go_on(StreamObject *self, const char *data, size_t bytes, int *result)
{
    if (bytes > INT_MAX || (bytes > 0 && openssl.bio_write(self->into, data, (int)bytes) != (int)bytes)) {
        *result = -1;
        return WENT_WRONG;
    }
    *result = openssl.do_handshake(self->ssl);
    if (*result == 1) {
        self->paused = 0;
        self->established = 1;
        return IS_OVER;
    }
    int error = openssl.get_error(self->ssl, *result);
    self->paused = error == ERROR_WANT_CLIENT_HELLO;
    return error == ERROR_WANT_READ ? GOES_ON : WENT_WRONG;
}

static PyObject *stream_handshake(PyObject *object, PyObject *data)
{
    StreamObject *self = (StreamObject *)object;
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0)
        return NULL;
    int result;
    enum step step;
    Py_BEGIN_ALLOW_THREADS;
    step = stream_go_on(self, view.buf, (size_t)view.len, &result);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&view);
    if (PyErr_Occurred()) /* of a callback in Python, should one leave it */
        return NULL;
    if (step == WENT_WRONG && !self->paused)
        return stream_refused(self, result);
    return PyBool_FromLong(step == IS_OVER);
}

/* Reads all that is complete; false with an error set. Most reads find one record, which needs no memory of its own. */
static PyObject *decrypted(StreamObject *self, const char *data, size_t bytes)
{
    char room[RECORD_BYTES];
    struct grown plain = {NULL, 0, 0};
    size_t done = 0;
    do {
        size_t slice = bytes - done < SLICE_BYTES ? bytes - done : SLICE_BYTES;
        if (!put(self->into, data + done, slice))
            return bytes_of(&plain, false);
        done += slice;
        int result;
        openssl.clear_error(); /* what another connection left would be taken for this one's: SSL_get_error(3) */
        while ((result = openssl.read(self->ssl, room, RECORD_BYTES)) > 0)
            if (!grow(&plain, room, (size_t)result))
                return bytes_of(&plain, false);
        int error = openssl.get_error(self->ssl, result);
        if (error == ERROR_ZERO_RETURN) {
            self->ended = 1;
            break;
        }
        if (error != ERROR_WANT_READ) {
            free(plain.data);
            return stream_refused(self, result);
        }
    } while (done < bytes);
    return bytes_of(&plain, true);
}

static PyObject *stream_receive(PyObject *object, PyObject *data)
{
    StreamObject *self = (StreamObject *)object;
    Py_buffer view;
    if (self->ended)
        return PyBytes_FromStringAndSize(NULL, 0);
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0)
        return NULL;
    PyObject *plain = decrypted(self, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return plain;
}

static PyObject *stream_outgoing(PyObject *object, PyObject *unused)
{
    (void)unused;
    StreamObject *self = (StreamObject *)object;
    char room[ROOM_BYTES];
    int taken = openssl.bio_read(self->out_of, room, ROOM_BYTES);
    if (taken < ROOM_BYTES)
        return PyBytes_FromStringAndSize(room, taken > 0 ? taken : 0);
    struct grown all = {NULL, 0, 0};
    return bytes_of(&all, grow(&all, room, ROOM_BYTES) && drain(self->out_of, &all));
}

/* Encrypts; 1, or OpenSSL's result where it can't. */
static int encrypt(StreamObject *self, const char *plain, size_t bytes)
{
    while (bytes > 0) {
        int result = openssl.write(self->ssl, plain, (int)bytes);
        if (result <= 0)
            return result;
        plain += result;
        bytes -= (size_t)result;
    }
    return 1;
}

static PyObject *stream_send(PyObject *object, PyObject *plain)
{
    StreamObject *self = (StreamObject *)object;
    Py_buffer view;
    if (PyObject_GetBuffer(plain, &view, PyBUF_SIMPLE) != 0)
        return NULL;
    struct grown all = {NULL, 0, 0};
    size_t done = 0, bytes = (size_t)view.len;
    int result = 1;
    bool good = true;
    while (good && result > 0 && bytes - done > SLICE_BYTES) {
        result = encrypt(self, (const char *)view.buf + done, SLICE_BYTES);
        good = result > 0 && drain(self->out_of, &all);
        done += SLICE_BYTES;
    }
    if (good && result > 0)
        result = encrypt(self, (const char *)view.buf + done, bytes - done);
    PyBuffer_Release(&view);
    if (result > 0 && all.data == NULL && good)
        return stream_outgoing(object, NULL);
    if (result > 0)
        return bytes_of(&all, good && drain(self->out_of, &all));
    free(all.data);
    return stream_refused(self, result);
}

static PyObject *stream_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    StreamObject *self = (StreamObject *)object;
    if (self->established && !self->closed && openssl.shutdown(self->ssl) < 0)
        openssl.clear_error(); /* a connection with a fatal alert behind it has nothing left to say */
    self->closed = 1;
    Py_RETURN_NONE;
}

/* Takes what two BIOs hold into two new ones; false with an error set, and nothing is lost then. */
static bool renew(StreamObject *self)
{
    struct grown unread = {NULL, 0, 0}, unsent = {NULL, 0, 0};
    BIO *into = openssl.bio_new(openssl.bio_s_mem()), *out_of = openssl.bio_new(openssl.bio_s_mem());
    bool good = into != NULL && out_of != NULL && drain(self->into, &unread) && drain(self->out_of, &unsent) &&
                put(into, unread.data, unread.bytes) && put(out_of, unsent.data, unsent.bytes);
    free(unread.data);
    free(unsent.data);
    if (!good) {
        openssl.bio_free(into);
        openssl.bio_free(out_of);
        if (!PyErr_Occurred())
            PyErr_NoMemory();
        return false;
    }
    openssl.set_bio(self->ssl, into, out_of); /* which frees the former two */
    self->into = into;
    self->out_of = out_of;
    return self->connection == NULL || wrap(self);
}

static PyObject *stream_slim(PyObject *object, PyObject *args)
{
    StreamObject *self = (StreamObject *)object;
    PyObject *given = Py_None;
    if (!PyArg_ParseTuple(args, "|O:slim", &given))
        return NULL;
    if (given != Py_None) {
        double mark = PyFloat_AsDouble(given);
        if (PyErr_Occurred())
            return NULL;
        if (mark < self->mark || mark > self->mark) {
            self->mark = mark;
            self->slim = 0;
            Py_RETURN_FALSE;
        }
    }
    if (self->slim)
        Py_RETURN_FALSE;
    self->slim = 1;
    if (!renew(self))
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *stream_call_when_freed(PyObject *object, PyObject *callback)
{
    StreamObject *self = (StreamObject *)object;
    PyObject *before = self->on_free;
    Py_INCREF(callback);
    self->on_free = callback;
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

static PyObject *stream_free(PyObject *object, PyObject *unused)
{
    (void)unused;
    StreamObject *self = (StreamObject *)object;
    PyObject *on_free = self->on_free;
    openssl.set_shutdown(self->ssl, SENT_AND_RECEIVED_SHUTDOWN);
    self->on_free = NULL;
    if (on_free == NULL || on_free == Py_None) {
        Py_XDECREF(on_free);
        Py_RETURN_NONE;
    }
    PyObject *result = PyObject_CallNoArgs(on_free);
    Py_DECREF(on_free);
    return result;
}

static PyObject *stream_leaves_tickets(PyObject *object, void *unused)
{
    (void)unused;
    return PyBool_FromLong(openssl.version(((StreamObject *)object)->ssl) == TLS13);
}

static PyObject *stream_resumed_its_own(PyObject *object, void *unused)
{
    (void)unused;
    SSL *ssl = ((StreamObject *)object)->ssl;
    return PyBool_FromLong(openssl.session_reused(ssl) == 1 && openssl.version(ssl) != TLS13);
}

static PyObject *stream_connection(PyObject *object, void *unused)
{
    (void)unused;
    StreamObject *self = (StreamObject *)object;
    if (self->connection == NULL && !wrap(self))
        return NULL;
    Py_INCREF(self->connection);
    return self->connection;
}

static PyObject *stream_handle(PyObject *object, void *unused)
{
    (void)unused;
    Py_INCREF(object);
    return object;
}

static PyObject *stream_ssl_address(PyObject *object, void *unused)
{
    (void)unused;
    return PyLong_FromVoidPtr(((StreamObject *)object)->ssl);
}

static int stream_traverse(PyObject *object, visitproc visit, void *arg)
{
    StreamObject *self = (StreamObject *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT((PyObject *)self->maker);
    Py_VISIT(self->connection);
    Py_VISIT(self->on_free);
    return 0;
}

static int stream_clear(PyObject *object)
{
    Py_CLEAR(((StreamObject *)object)->on_free); /* the one reference by which a stream can reach itself */
    return 0;
}

static void stream_dealloc(PyObject *object)
{
    StreamObject *self = (StreamObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->connection == NULL && self->ssl != NULL)
        openssl.free(self->ssl);
    Py_XDECREF(self->connection);
    Py_XDECREF(self->on_free);
    Py_XDECREF((PyObject *)self->maker);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyMethodDef stream_methods[] = {
    {"handshake", stream_handshake, METH_O, "Go on with the handshake; true once it is over."},
    {"receive", stream_receive, METH_O, "Return the plain bytes that these encrypted ones make complete."},
    {"send", stream_send, METH_O, "Encrypt; the encrypted bytes to send, with what else was waiting."},
    {"close", stream_close, METH_NOARGS, "Send close_notify."},
    {"outgoing", stream_outgoing, METH_NOARGS, "Take the encrypted bytes that wait to be sent."},
    {"slim", stream_slim, METH_VARARGS, "Give back what BIOs have grown to."},
    {"call_when_freed", stream_call_when_freed, METH_O, "Have this called once, when `free` is; None: nothing is."},
    {"free", stream_free, METH_NOARGS, "Let go of the connection, as one that was closed properly."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef stream_members[] = {
    {"established", T_BOOL, offsetof(StreamObject, established), READONLY, NULL},
    {"ended", T_BOOL, offsetof(StreamObject, ended), READONLY, NULL},
    {"closed", T_BOOL, offsetof(StreamObject, closed), READONLY, NULL},
    {"paused", T_BOOL, offsetof(StreamObject, paused), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef stream_getset[] = {
    {"leaves_tickets", stream_leaves_tickets, NULL, NULL, NULL},
    {"resumed_its_own", stream_resumed_its_own, NULL, NULL, NULL},
    {"connection", stream_connection, NULL, NULL, NULL},
    {"handle", stream_handle, NULL, NULL, NULL},
    {"ssl_address", stream_ssl_address, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot stream_slots[] = {
    {Py_tp_dealloc, stream_dealloc}, {Py_tp_traverse, stream_traverse}, {Py_tp_clear, stream_clear},
    {Py_tp_methods, stream_methods}, {Py_tp_members, stream_members},   {Py_tp_getset, stream_getset},
    {0, NULL},
};

static PyType_Spec stream_spec = {
    "meshcache_server._steps.TlsStream", sizeof(StreamObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, stream_slots,
};

/* --- what makes them --- */

static PyObject *maker_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"context", "address", "wrap", "raises", "listed", NULL};
    PyObject *context, *wrapper, *raises;
    unsigned long long address;
    int listed;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OKOOp:Maker", names, &context, &address, &wrapper, &raises, &listed))
        return NULL;
    if (openssl.new == NULL || address == 0) {
        PyErr_SetString(PyExc_RuntimeError, "no OpenSSL was named");
        return NULL;
    }
    MakerObject *self = PyObject_New(MakerObject, type);
    if (self == NULL)
        return NULL;
    self->ctx = (SSL_CTX *)(uintptr_t)address;
    self->listed = (char)listed;
    Py_INCREF(context);
    self->context = context;
    Py_INCREF(wrapper);
    self->wrap = wrapper;
    Py_INCREF(raises);
    self->raise = raises;
    return (PyObject *)self;
}

static void maker_dealloc(PyObject *object)
{
    MakerObject *self = (MakerObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_DECREF(self->context);
    Py_DECREF(self->wrap);
    Py_DECREF(self->raise);
    PyObject_Free(object);
    Py_DECREF(type);
}

/* Gives a stream its SSL and two BIOs; false with an error set. */
static bool begin(StreamObject *self)
{
    self->ssl = openssl.new(self->maker->ctx);
    BIO *into = openssl.bio_new(openssl.bio_s_mem()), *out_of = openssl.bio_new(openssl.bio_s_mem());
    if (self->ssl == NULL || into == NULL || out_of == NULL) {
        openssl.bio_free(into);
        openssl.bio_free(out_of);
        openssl.clear_error();
        PyErr_NoMemory();
        return false;
    }
    openssl.set_mode(self->ssl, MODE_AUTO_RETRY); /* as pyOpenSSL does */
    openssl.set_bio(self->ssl, into, out_of);
    openssl.set_accept_state(self->ssl);
    self->into = into;
    self->out_of = out_of;
    return !self->maker->listed || wrap(self);
}

StreamObject *stream_new(MakerObject *maker)
{
    StreamObject *self = PyObject_GC_New(StreamObject, stream_type);
    if (self == NULL)
        return NULL;
    Py_INCREF((PyObject *)maker);
    self->maker = maker;
    self->ssl = NULL;
    self->into = self->out_of = NULL;
    self->connection = self->on_free = NULL;
    self->mark = 0;
    self->slim = self->established = self->ended = self->closed = self->paused = 0;
    PyObject_GC_Track(self);
    if (!begin(self)) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

static PyObject *maker_call(PyObject *object, PyObject *args, PyObject *kwargs)
{
    (void)args; /* a buffer that the twin in Python needs */
    (void)kwargs;
    return (PyObject *)stream_new((MakerObject *)object);
}

static PyType_Slot maker_slots[] = {
    {Py_tp_new, maker_new}, {Py_tp_dealloc, maker_dealloc}, {Py_tp_call, maker_call}, {0, NULL},
};

static PyType_Spec maker_spec = {"meshcache_server._steps.Maker", sizeof(MakerObject), 0, Py_TPFLAGS_DEFAULT, maker_slots};

/* --- the module --- */

static PyObject *use(PyObject *module, PyObject *addresses)
{
    (void)module;
    for (size_t at = 0; at < sizeof symbols / sizeof *symbols; at++) {
        PyObject *number = PyMapping_GetItemString(addresses, symbols[at].name);
        uintptr_t address = number == NULL ? 0 : (uintptr_t)PyLong_AsUnsignedLongLong(number);
        Py_XDECREF(number);
        if (PyErr_Occurred())
            return NULL;
        memcpy((char *)&openssl + symbols[at].place, &address, sizeof address);
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"use", use, METH_O, "Take the addresses of OpenSSL's functions, by name."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_steps", "TLS between memory BIOs, a call a step.", -1, functions, NULL, NULL, NULL, NULL,
};

enum { INTERFACE = 4 }; /* of steps.py: one higher with each change of what Python may ask */

PyMODINIT_FUNC PyInit__steps(void);

PyMODINIT_FUNC PyInit__steps(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    stream_type = (PyTypeObject *)PyType_FromSpec(&stream_spec);
    maker_type = (PyTypeObject *)PyType_FromSpec(&maker_spec);
    if (stream_type == NULL || maker_type == NULL || PyModule_AddIntConstant(module, "INTERFACE", INTERFACE) != 0 ||
        PyModule_AddObjectRef(module, "TlsStream", (PyObject *)stream_type) != 0 ||
        PyModule_AddObjectRef(module, "Maker", (PyObject *)maker_type) != 0 || !add_lines(module)) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
