/* Messages between the mesh's ZeroMQ sockets and Python with one call for all that have come, or for one that goes: the
 * twin of edges/listener.py's and edges/dialler.py's own loops. pyzmq asks for each frame, and gives the interpreter's
 * lock away each time, for which a busy server's other thread lets it wait.
 *
 * The functions are those of the libzmq that pyzmq has loaded, found by name; the sockets are pyzmq's, which owns them.
 * Whoever calls holds the transport's lock and has not closed the socket. Nothing here waits.
 */
#include "hot.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#if defined(__linux__)
#include <sys/epoll.h>
#endif

enum {
    ZMQ_DONTWAIT = 1,      /* zmq.h, as what follows */
    ZMQ_MESSAGE_BYTES = 64, /* of a zmq_msg_t, in all of libzmq 4 */
    READY_MAX = 256,        /* descriptors told of at a time; the others are told of the next time */
};

/* A zmq_msg_t. */
struct message {
    _Alignas(sizeof(void *)) unsigned char content[ZMQ_MESSAGE_BYTES];
};

static struct {
    int (*init)(struct message *), (*close)(struct message *), (*more)(const struct message *);
    int (*receive)(struct message *, void *, int);
    void *(*data)(struct message *);
    size_t (*size)(const struct message *);
    int (*send)(void *, const void *, size_t, int);
    int (*error)(void);
} zmq; /* all of them are found before the first use; never changes after that */

/* Whether a function is there; ISO C has no other way from an object's address to a function's. */
static bool found(void *library, const char *name, void *function)
{
    void *address = dlsym(library, name);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

PyObject *mail_use(PyObject *module, PyObject *args)
{
    (void)module;
    const char *path;
    if (!PyArg_ParseTuple(args, "s:use_zmq", &path))
        return NULL;
    void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD); /* looks in what it was linked with, too; kept for good */
    return PyBool_FromLong(library != NULL && found(library, "zmq_msg_init", &zmq.init) &&
                           found(library, "zmq_msg_close", &zmq.close) && found(library, "zmq_msg_more", &zmq.more) &&
                           found(library, "zmq_msg_recv", &zmq.receive) && found(library, "zmq_msg_data", &zmq.data) &&
                           found(library, "zmq_msg_size", &zmq.size) && found(library, "zmq_send", &zmq.send) &&
                           found(library, "zmq_errno", &zmq.error));
}

/* Receives a frame into `message`, which is the caller's to close if this is true. False with an error set, or without
 * one: none is here. */
static bool receive(void *socket, struct message *message)
{
    int error;
    zmq.init(message);
    do {
        if (zmq.receive(message, socket, ZMQ_DONTWAIT) >= 0)
            return true;
        error = zmq.error();
    } while (error == EINTR);
    zmq.close(message);
    if (error != EAGAIN) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    return false;
}

static PyObject *bytes_of(struct message *message)
{
    return PyBytes_FromStringAndSize(zmq.data(message), (Py_ssize_t)zmq.size(message));
}

/* The next message: the connection's name and its one frame, which is empty where there were more. NULL with or without an
 * error set. */
static PyObject *next_message(void *socket)
{
    struct message message;
    if (!receive(socket, &message))
        return NULL;
    PyObject *name = bytes_of(&message), *frame = NULL;
    int frames = 0;
    bool more = zmq.more(&message) != 0;
    zmq.close(&message);
    while (more && receive(socket, &message)) { /* all frames of a message come together */
        if (frames++ == 0)
            frame = bytes_of(&message);
        more = zmq.more(&message) != 0;
        zmq.close(&message);
    }
    if (!PyErr_Occurred() && frames != 1) {
        Py_XDECREF(frame);
        frame = PyBytes_FromStringAndSize("", 0);
    }
    PyObject *both = PyErr_Occurred() ? NULL : PyTuple_Pack(2, name, frame);
    Py_XDECREF(name);
    Py_XDECREF(frame);
    return both;
}

PyObject *mail_receive(PyObject *module, PyObject *args)
{
    (void)module;
    unsigned long long socket;
    Py_ssize_t count;
    if (!PyArg_ParseTuple(args, "Kn:receive", &socket, &count))
        return NULL;
    PyObject *all = PyList_New(0), *one;
    while (all != NULL && PyList_Size(all) < count && (one = next_message((void *)(uintptr_t)socket)) != NULL) {
        if (PyList_Append(all, one) < 0)
            Py_CLEAR(all);
        Py_DECREF(one);
    }
    if (PyErr_Occurred())
        Py_CLEAR(all);
    return all;
}

/* 1, 0 when the socket's queue is full, or -1 with an error set. */
static int hand_over(void *socket, const char *data, Py_ssize_t bytes)
{
    while (zmq.send(socket, data, (size_t)bytes, ZMQ_DONTWAIT) < 0) {
        if (zmq.error() == EAGAIN)
            return 0;
        if (zmq.error() != EINTR) {
            errno = zmq.error();
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
    }
    return 1;
}

PyObject *mail_send(PyObject *module, PyObject *args)
{
    (void)module;
    unsigned long long socket;
    const char *data;
    Py_ssize_t bytes;
    if (!PyArg_ParseTuple(args, "Ky#:send", &socket, &data, &bytes))
        return NULL;
    int sent = hand_over((void *)(uintptr_t)socket, data, bytes);
    return sent < 0 ? NULL : PyBool_FromLong(sent);
}

PyObject *mail_send_each(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *sockets;
    const char *data;
    Py_ssize_t bytes;
    if (!PyArg_ParseTuple(args, "O!y#:send_each", &PyList_Type, &sockets, &data, &bytes))
        return NULL;
    PyObject *full = PyList_New(0);
    for (Py_ssize_t at = 0; full != NULL && at < PyList_Size(sockets); at++) {
        unsigned long long socket = PyLong_AsUnsignedLongLong(PyList_GetItem(sockets, at));
        int sent = PyErr_Occurred() ? -1 : hand_over((void *)(uintptr_t)socket, data, bytes);
        PyObject *place = sent == 0 ? PyLong_FromSsize_t(at) : NULL;
        if (sent < 0 || (sent == 0 && (place == NULL || PyList_Append(full, place) < 0)))
            Py_CLEAR(full);
        Py_XDECREF(place);
    }
    return full;
}

PyObject *mail_ready(PyObject *module, PyObject *number)
{
    (void)module;
#if defined(__linux__)
    struct epoll_event events[READY_MAX];
    long descriptor = PyLong_AsLong(number);
    if (descriptor == -1 && PyErr_Occurred())
        return NULL;
    int count = epoll_wait((int)descriptor, events, READY_MAX, 0);
    if (count < 0 && errno != EINTR)
        return PyErr_SetFromErrno(PyExc_OSError);
    PyObject *all = PyList_New(0);
    for (int at = 0; all != NULL && at < count; at++) {
        PyObject *one = PyLong_FromLong(events[at].data.fd);
        if (one == NULL || PyList_Append(all, one) < 0)
            Py_CLEAR(all);
        Py_XDECREF(one);
    }
    return all;
#else
    (void)number;
    PyErr_SetString(PyExc_NotImplementedError, "there is no epoll");
    return NULL;
#endif
}
