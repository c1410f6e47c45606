/* All lines of one loop, by one epoll instance: the acceptor, as Python has it.
 */
#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <structmember.h>
#include <sys/epoll.h>
#include <unistd.h>

static PyObject *acceptor_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"soon", NULL};
    PyObject *soon;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Acceptor", names, &soon))
        return NULL;
    Acceptor *self = PyObject_New(Acceptor, type);
    if (self == NULL)
        return NULL;
    struct list *lists[] = {&self->shaking, &self->silent, &self->adopted, &self->dying};
    for (size_t at = 0; at < sizeof lists / sizeof *lists; at++)
        lists[at]->next = lists[at]->previous = lists[at];
    self->open = self->quiet = self->limit = 0;
    self->stepping = self->asked = self->full = self->deaf = 0;
    Py_INCREF(soon);
    self->soon = soon;
    self->room = malloc(READ_BYTES);
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (self->room == NULL || self->epoll < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    return (PyObject *)self;
}

static void end_all(Acceptor *self)
{
    struct list *lists[] = {&self->shaking, &self->silent, &self->adopted};
    self->asked = 1; /* nobody has to be asked to */
    for (size_t at = 0; at < sizeof lists / sizeof *lists; at++)
        while (lists[at]->next != lists[at])
            line_lose(line_at(lists[at]->next));
    lines_bury(self);
    self->asked = 0;
}

static PyObject *acceptor_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    Acceptor *self = (Acceptor *)object;
    if (self->epoll >= 0) {
        end_all(self);
        close(self->epoll);
        self->epoll = -1;
    }
    Py_RETURN_NONE;
}

static void acceptor_dealloc(PyObject *object)
{
    Acceptor *self = (Acceptor *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->epoll >= 0)
        close(self->epoll); /* it has no lines: those keep it */
    Py_XDECREF(self->soon);
    free(self->room);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyObject *acceptor_fileno(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyLong_FromLong(((Acceptor *)object)->epoll);
}

static PyObject *acceptor_step(PyObject *object, PyObject *unused)
{
    (void)unused;
    Acceptor *self = (Acceptor *)object;
    struct epoll_event events[EVENTS_MAX];
    int count = self->epoll < 0 || self->stepping ? 0 : epoll_wait(self->epoll, events, EVENTS_MAX, 0);
    if (count < 0)
        count = 0;
    for (int at = 0; at < count; at++)
        Py_INCREF((PyObject *)events[at].data.ptr); /* one may end another */
    self->stepping = 1;
    for (int at = 0; at < count; at++) {
        PyObject *one = events[at].data.ptr;
        if (Py_TYPE(one) == line_type)
            line_turn((Line *)one, events[at].events);
        else if (((ListeningSocket *)one)->watched)
            listening_accept(self, (ListeningSocket *)one);
    }
    lines_bury(self);
    self->stepping = 0;
    for (int at = 0; at < count; at++)
        Py_DECREF((PyObject *)events[at].data.ptr);
    int said = (self->silent.next != &self->silent ? SOME_ARE_SILENT : 0) | (self->full ? NO_DESCRIPTOR : 0) |
               (self->deaf ? UNWATCHED : 0);
    self->full = self->deaf = 0;
    return PyLong_FromLong(said);
}

static PyObject *acceptor_settle(PyObject *object, PyObject *unused)
{
    (void)unused;
    Acceptor *self = (Acceptor *)object;
    self->asked = 0;
    if (!self->stepping) {
        self->stepping = 1;
        lines_bury(self);
        self->stepping = 0;
    }
    Py_RETURN_NONE;
}

static PyObject *acceptor_watch(PyObject *object, PyObject *given)
{
    Acceptor *self = (Acceptor *)object;
    if (Py_TYPE(given) != listening_type) {
        PyErr_SetString(PyExc_TypeError, "a listening socket is wanted");
        return NULL;
    }
    ListeningSocket *listening = (ListeningSocket *)given;
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = listening}};
    if (!listening->watched && epoll_ctl(self->epoll, EPOLL_CTL_ADD, listening->descriptor, &event) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (!listening->watched)
        Py_INCREF(given);
    listening->watched = 1;
    Py_RETURN_NONE;
}

static PyObject *acceptor_unwatch(PyObject *object, PyObject *given)
{
    Acceptor *self = (Acceptor *)object;
    if (Py_TYPE(given) != listening_type) {
        PyErr_SetString(PyExc_TypeError, "a listening socket is wanted");
        return NULL;
    }
    ListeningSocket *listening = (ListeningSocket *)given;
    if (listening->watched) {
        if (self->epoll >= 0)
            epoll_ctl(self->epoll, EPOLL_CTL_DEL, listening->descriptor, NULL);
        listening->watched = 0;
        Py_DECREF(given);
    }
    Py_RETURN_NONE;
}

/* Gives Python the lines that are due. Those that come to the list meanwhile are for the next time, and one that Python ends
 * meanwhile leaves it. */
static void hand_over(struct list *due, enum how how)
{
    while (due->next != due) {
        Line *line = line_at(due->next);
        Py_INCREF((PyObject *)line);
        line_adopt(line, how, NULL);
        if (line->acceptor != NULL)
            line_watch(line);
        Py_DECREF((PyObject *)line);
    }
}

static PyObject *acceptor_hand_over(PyObject *object, PyObject *args)
{
    Acceptor *self = (Acceptor *)object;
    double late, silent_since;
    if (!PyArg_ParseTuple(args, "dd:hand_over", &late, &silent_since))
        return NULL;
    struct list late_ones = {&late_ones, &late_ones}, silent_ones = {&silent_ones, &silent_ones}, *next;
    /* Listening sockets differ in their time limits. */
    for (struct list *at = self->shaking.next; at != &self->shaking; at = next) {
        next = at->next;
        if (line_at(at)->when <= late)
            move(&late_ones, at);
    }
    while (self->silent.next != &self->silent && line_at(self->silent.next)->when <= silent_since)
        move(&silent_ones, self->silent.next);
    hand_over(&late_ones, SHAKING);
    hand_over(&silent_ones, OPEN);
    return PyFloat_FromDouble(self->silent.next == &self->silent ? 0 : line_at(self->silent.next)->when);
}

static PyObject *acceptor_shaking(PyObject *object, void *unused)
{
    (void)unused;
    Acceptor *self = (Acceptor *)object;
    long count = 0;
    for (struct list *at = self->shaking.next; at != &self->shaking; at = at->next)
        count += line_at(at)->spoke;
    return PyLong_FromLong(count);
}

static PyMethodDef acceptor_methods[] = {
    {"fileno", acceptor_fileno, METH_NOARGS, "The descriptor that the loop watches."},
    {"step", acceptor_step, METH_NOARGS, "Take what has happened; what there is to do for Python, as bits."},
    {"settle", acceptor_settle, METH_NOARGS, "Tell of lines that have ended."},
    {"watch", acceptor_watch, METH_O, "Accept at a listening socket."},
    {"unwatch", acceptor_unwatch, METH_O, "Accept no more there."},
    {"hand_over", acceptor_hand_over, METH_VARARGS,
     "Have quiet lines adopted whose handshake's time was up by then, and which have been silent since then; since when the "
     "next one is, or 0."},
    {"close", acceptor_close, METH_NOARGS, "End all lines."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef acceptor_members[] = {
    {"open", T_PYSSIZET, offsetof(Acceptor, open), READONLY, NULL},
    {"quiet", T_PYSSIZET, offsetof(Acceptor, quiet), READONLY, NULL},
    {"limit", T_PYSSIZET, offsetof(Acceptor, limit), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef acceptor_getset[] = {{"shaking", acceptor_shaking, NULL, NULL, NULL}, {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot acceptor_slots[] = {
    {Py_tp_new, acceptor_new},         {Py_tp_dealloc, acceptor_dealloc}, {Py_tp_methods, acceptor_methods},
    {Py_tp_members, acceptor_members}, {Py_tp_getset, acceptor_getset},   {0, NULL},
};

PyTypeObject *acceptor_type;

PyType_Spec acceptor_spec = {"meshcache_server._steps.Acceptor", sizeof(Acceptor), 0, Py_TPFLAGS_DEFAULT, acceptor_slots};
