/* Listening sockets, and those who come there.
 */
#include "lines.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

PyObject *address_of(const struct sockaddr_storage *address, socklen_t size)
{
    char host[NI_MAXHOST];
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        return Py_BuildValue("(si)", host, (int)ntohs(four->sin_port));
    }
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
        if (getnameinfo((const struct sockaddr *)address, size, host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0)
            inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        return Py_BuildValue("(siII)", host, (int)ntohs(six->sin6_port), (unsigned)ntohl(six->sin6_flowinfo),
                             (unsigned)six->sin6_scope_id);
    }
    return PyTuple_New(0);
}

static Line *new_line(Acceptor *acceptor, ListeningSocket *listening, int descriptor, PyObject *peer)
{
    Line *line = PyObject_GC_New(Line, line_type);
    if (line == NULL)
        return NULL;
    memset((char *)line + offsetof(Line, at), 0, sizeof *line - offsetof(Line, at));
    line->acceptor = acceptor;
    Py_INCREF((PyObject *)acceptor);
    Py_INCREF((PyObject *)listening);
    line->listening = listening;
    line->peer = peer;
    line->descriptor = descriptor;
    line->reading = 1;
    put_last(&acceptor->adopted, &line->at);
    acceptor->open++;
    PyObject_GC_Track(line);
    return line;
}

/* Whether a connection can do without Python; -1 with an error set. */
static int may_be_quiet(Acceptor *acceptor, ListeningSocket *listening, PyObject *peer)
{
    if (listening->maker == NULL || acceptor->open >= acceptor->limit || PyTuple_Size(peer) == 0)
        return 0;
    PyObject *known = PyObject_CallFunctionObjArgs(listening->known, PyTuple_GetItem(peer, 0), NULL);
    int yes = known == NULL ? -1 : PyObject_IsTrue(known);
    Py_XDECREF(known);
    return yes;
}

/* Begins with a new connection: most clients have spoken already (see listener.DEFER_S). */
static void welcome(Acceptor *acceptor, ListeningSocket *listening, int descriptor, PyObject *peer, double now)
{
    int quiet = may_be_quiet(acceptor, listening, peer);
    Line *line = quiet < 0 ? NULL : new_line(acceptor, listening, descriptor, peer);
    if (line == NULL) {
        PyErr_WriteUnraisable((PyObject *)listening);
        close(descriptor);
        Py_DECREF(peer);
        return;
    }
    Py_INCREF((PyObject *)line); /* Python may close the acceptor */
    if (quiet)
        line->stream = stream_new((MakerObject *)listening->maker);
    if (quiet && line->stream == NULL) {
        PyErr_WriteUnraisable((PyObject *)listening);
        line_lose(line);
    } else if (quiet) {
        line->quiet = 1;
        acceptor->quiet++;
        line->when = now + listening->timeout_s;
        move(&acceptor->shaking, &line->at);
        line_shake_hands(line);
    } else {
        line_adopt(line, BORN, NULL);
        if (!line->dying && line->protocol != NULL && line->reading)
            line_receive(line);
        line_watch(line);
    }
    Py_DECREF((PyObject *)line);
}

void listening_accept(Acceptor *acceptor, ListeningSocket *listening)
{
    double now = clock_s();
    for (int count = 0; count < ACCEPTS_MAX && listening->watched; count++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        int descriptor = accept4(listening->descriptor, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0 && errno == EAGAIN)
            return;
        if (descriptor < 0) {
            acceptor->full |= errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM || errno == EBADF ||
                           errno == EINVAL || errno == ENOTSOCK;
            if (acceptor->full)
                return;
            continue; /* that client is gone (accept(2)) */
        }
        PyObject *peer = address_of(&address, size);
        if (peer == NULL) {
            PyErr_WriteUnraisable((PyObject *)listening);
            close(descriptor);
        } else
            welcome(acceptor, listening, descriptor, peer, now);
    }
}

/* --- listening sockets, as Python has them --- */

static PyObject *listening_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"descriptor", "adopt", "maker", "known", "done", "timeout_s", "at_once", NULL};
    PyObject *maker = Py_None, *known = Py_None, *adopt_line, *done = Py_None;
    int descriptor, at_once = 0;
    double timeout_s = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iO|OOOdp:ListeningSocket", names, &descriptor, &adopt_line, &maker, &known, &done,
                                     &timeout_s, &at_once))
        return NULL;
    if (maker != Py_None && Py_TYPE(maker) != maker_type) {
        PyErr_SetString(PyExc_TypeError, "a maker of streams is wanted");
        return NULL;
    }
    ListeningSocket *self = PyObject_New(ListeningSocket, type);
    if (self == NULL)
        return NULL;
    self->descriptor = descriptor;
    self->watched = 0;
    self->at_once = (char)at_once;
    self->timeout_s = timeout_s;
    self->maker = maker == Py_None ? NULL : maker;
    Py_XINCREF(self->maker);
    Py_INCREF(known);
    self->known = known;
    Py_INCREF(adopt_line);
    self->adopt = adopt_line;
    Py_INCREF(done);
    self->done = done;
    return (PyObject *)self;
}

static void listening_dealloc(PyObject *object)
{
    ListeningSocket *self = (ListeningSocket *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_XDECREF(self->maker);
    Py_DECREF(self->known);
    Py_DECREF(self->adopt);
    Py_DECREF(self->done);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyType_Slot listening_slots[] = {{Py_tp_new, listening_new}, {Py_tp_dealloc, listening_dealloc}, {0, NULL}};

PyTypeObject *listening_type;

PyType_Spec listening_spec = {"meshcache_server._steps.ListeningSocket", sizeof(ListeningSocket), 0, Py_TPFLAGS_DEFAULT,
                              listening_slots};
