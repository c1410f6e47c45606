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
    READY_MAX = 256,        /* descriptors told of at a time; the others are told of the next time */
    NAME_GIVEN_BYTES = 5,   /* edges.mail.NAME_BYTES */
};

static struct {
    int (*init)(struct message *), (*close)(struct message *), (*more)(const struct message *);
    int (*receive)(struct message *, void *, int);
    void *(*data)(struct message *);
    size_t (*size)(const struct message *);
    int (*send)(void *, const void *, size_t, int);
    int (*error)(void);
} zmq; /* all of them are found before the first use; never changes after that */

static atomic_uint backlogs;      /* how many readers have noted that they left letters */
static atomic_uint process_number; /* counts forks, from the first process on */

void backlog_note(struct backlog *backlog, bool left)
{
    unsigned process = atomic_load(&process_number);
    if (atomic_exchange(&backlog->process, process) != process)
        atomic_store(&backlog->left, false);
    if (atomic_exchange(&backlog->left, left) == left)
        return;
    if (left)
        atomic_fetch_add(&backlogs, 1);
    else
        atomic_fetch_sub(&backlogs, 1);
}

bool backlog_anywhere(void)
{
    return atomic_load(&backlogs) != 0;
}

void backlogs_forget(void)
{
    atomic_fetch_add(&process_number, 1);
    atomic_store(&backlogs, 0);
}

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

/* Receives a frame into `message`, which is the caller's to close if this is true. False with errno 0: none is here. */
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
    errno = error == EAGAIN ? 0 : error;
    return false;
}

bool letter_next(void *socket, struct letter *letter)
{
    struct message message;
    if (!receive(socket, &message))
        return false;
    size_t bytes = zmq.size(&message);
    letter->name_bytes = (uint8_t)(bytes > CONNECTION_NAME_MAX ? CONNECTION_NAME_MAX : bytes); /* ZeroMQ's are no longer */
    memcpy(letter->name, zmq.data(&message), letter->name_bytes);
    letter->has_content = false;
    bool more = zmq.more(&message) != 0;
    zmq.close(&message);
    for (int frames = 0; more; frames++) { /* all frames of a message come together */
        struct message *into = frames == 0 ? &letter->content : &message;
        if (!receive(socket, into))
            break;
        more = zmq.more(into) != 0;
        letter->has_content = frames == 0 && !more;
        if (!letter->has_content)
            zmq.close(into);
    }
    if (letter->name_bytes != NAME_GIVEN_BYTES || letter->name[0] != 0) { /* chosen by who connected: see edges/mail.py */
        letter_close(letter);
        letter->name_bytes = 0;
    }
    return true;
}

struct span letter_bytes(struct letter *letter)
{
    if (!letter->has_content)
        return (struct span){(const uint8_t *)"", 0};
    return (struct span){zmq.data(&letter->content), zmq.size(&letter->content)};
}

void letter_close(struct letter *letter)
{
    if (letter->has_content)
        zmq.close(&letter->content);
    letter->has_content = false;
}

PyObject *letter_to_python(struct letter *letter)
{
    struct span bytes = letter_bytes(letter);
    return Py_BuildValue("(y#y#)", (const char *)letter->name, (Py_ssize_t)letter->name_bytes, (const char *)bytes.data,
                         (Py_ssize_t)bytes.bytes);
}

PyObject *mail_receive(PyObject *module, PyObject *args)
{
    (void)module;
    unsigned long long socket;
    Py_ssize_t count;
    if (!PyArg_ParseTuple(args, "Kn:receive", &socket, &count))
        return NULL;
    PyObject *all = PyList_New(0);
    struct letter letter;
    errno = 0;
    while (all != NULL && PyList_Size(all) < count && letter_next((void *)(uintptr_t)socket, &letter)) {
        PyObject *one = letter_to_python(&letter);
        letter_close(&letter);
        if (one == NULL || PyList_Append(all, one) < 0)
            Py_CLEAR(all);
        Py_XDECREF(one);
        errno = 0;
    }
    if (all != NULL && errno != 0) {
        Py_CLEAR(all);
        PyErr_SetFromErrno(PyExc_OSError);
    }
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
