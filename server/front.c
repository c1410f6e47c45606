/* All lines of one loop, by one epoll instance: the front, as Python has it.
 */
#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <structmember.h>
#include <sys/epoll.h>
#include <unistd.h>

static PyObject *front_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"soon", NULL};
    PyObject *soon;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Front", names, &soon))
        return NULL;
    Front *self = PyObject_New(Front, type);
    if (self == NULL)
        return NULL;
    struct ring *rings[] = {&self->shaking, &self->silent, &self->adopted, &self->dying};
    for (size_t at = 0; at < sizeof rings / sizeof *rings; at++)
        rings[at]->next = rings[at]->previous = rings[at];
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

static void end_all(Front *self)
{
    struct ring *rings[] = {&self->shaking, &self->silent, &self->adopted};
    self->asked = 1; /* nobody has to be asked to */
    for (size_t at = 0; at < sizeof rings / sizeof *rings; at++)
        while (rings[at]->next != rings[at])
            line_lose(line_at(rings[at]->next));
    lines_bury(self);
    self->asked = 0;
}

static PyObject *front_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    Front *self = (Front *)object;
    if (self->epoll >= 0) {
        end_all(self);
        close(self->epoll);
        self->epoll = -1;
    }
    Py_RETURN_NONE;
}

static void front_dealloc(PyObject *object)
{
    Front *self = (Front *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->epoll >= 0)
        close(self->epoll); /* it has no lines: those keep it */
    Py_XDECREF(self->soon);
    free(self->room);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyObject *front_fileno(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyLong_FromLong(((Front *)object)->epoll);
}

static PyObject *front_step(PyObject *object, PyObject *unused)
{
    (void)unused;
    Front *self = (Front *)object;
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
        else if (((Gate *)one)->watched)
            gate_accept(self, (Gate *)one);
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

static PyObject *front_settle(PyObject *object, PyObject *unused)
{
    (void)unused;
    Front *self = (Front *)object;
    self->asked = 0;
    if (!self->stepping) {
        self->stepping = 1;
        lines_bury(self);
        self->stepping = 0;
    }
    Py_RETURN_NONE;
}

static PyObject *front_watch(PyObject *object, PyObject *given)
{
    Front *self = (Front *)object;
    if (Py_TYPE(given) != gate_type) {
        PyErr_SetString(PyExc_TypeError, "a gate is wanted");
        return NULL;
    }
    Gate *gate = (Gate *)given;
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = gate}};
    if (!gate->watched && epoll_ctl(self->epoll, EPOLL_CTL_ADD, gate->descriptor, &event) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (!gate->watched)
        Py_INCREF(given);
    gate->watched = 1;
    Py_RETURN_NONE;
}

static PyObject *front_unwatch(PyObject *object, PyObject *given)
{
    Front *self = (Front *)object;
    if (Py_TYPE(given) != gate_type) {
        PyErr_SetString(PyExc_TypeError, "a gate is wanted");
        return NULL;
    }
    Gate *gate = (Gate *)given;
    if (gate->watched) {
        if (self->epoll >= 0)
            epoll_ctl(self->epoll, EPOLL_CTL_DEL, gate->descriptor, NULL);
        gate->watched = 0;
        Py_DECREF(given);
    }
    Py_RETURN_NONE;
}

/* Gives Python the lines that are due. Those that come to the ring meanwhile are for the next time, and one that Python ends
 * meanwhile leaves it. */
static void hand_over(struct ring *due, enum how how)
{
    while (due->next != due) {
        Line *line = line_at(due->next);
        Py_INCREF((PyObject *)line);
        line_adopt(line, how, NULL);
        if (line->front != NULL)
            line_watch(line);
        Py_DECREF((PyObject *)line);
    }
}

static PyObject *front_hand_over(PyObject *object, PyObject *args)
{
    Front *self = (Front *)object;
    double late, silent_since;
    if (!PyArg_ParseTuple(args, "dd:hand_over", &late, &silent_since))
        return NULL;
    struct ring late_ones = {&late_ones, &late_ones}, silent_ones = {&silent_ones, &silent_ones}, *next;
    for (struct ring *at = self->shaking.next; at != &self->shaking; at = next) { /* gates differ in their time limits */
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

static PyObject *front_shaking(PyObject *object, void *unused)
{
    (void)unused;
    Front *self = (Front *)object;
    long count = 0;
    for (struct ring *at = self->shaking.next; at != &self->shaking; at = at->next)
        count += line_at(at)->spoke;
    return PyLong_FromLong(count);
}

static PyMethodDef front_methods[] = {
    {"fileno", front_fileno, METH_NOARGS, "The descriptor that the loop watches."},
    {"step", front_step, METH_NOARGS, "Take what has happened; what there is to do for Python, as bits."},
    {"settle", front_settle, METH_NOARGS, "Tell of lines that have ended."},
    {"watch", front_watch, METH_O, "Accept at a gate."},
    {"unwatch", front_unwatch, METH_O, "Accept no more there."},
    {"hand_over", front_hand_over, METH_VARARGS,
     "Have quiet lines adopted whose handshake's time was up by then, and which have been silent since then; since when the "
     "next one is, or 0."},
    {"close", front_close, METH_NOARGS, "End all lines."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef front_members[] = {
    {"open", T_PYSSIZET, offsetof(Front, open), READONLY, NULL},
    {"quiet", T_PYSSIZET, offsetof(Front, quiet), READONLY, NULL},
    {"limit", T_PYSSIZET, offsetof(Front, limit), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef front_getset[] = {{"shaking", front_shaking, NULL, NULL, NULL}, {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot front_slots[] = {
    {Py_tp_new, front_new},         {Py_tp_dealloc, front_dealloc}, {Py_tp_methods, front_methods},
    {Py_tp_members, front_members}, {Py_tp_getset, front_getset},   {0, NULL},
};

PyTypeObject *front_type;

PyType_Spec front_spec = {"meshcache_server._steps.Front", sizeof(Front), 0, Py_TPFLAGS_DEFAULT, front_slots};
