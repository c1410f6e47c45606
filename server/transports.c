/* Lines as Python has them: transports of asyncio's.
 */
#include "lines.h"

#include <string.h>
#include <structmember.h>

static PyObject *line_write(PyObject *object, PyObject *data)
{
    Line *self = (Line *)object;
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0)
        return NULL;
    if (self->acceptor != NULL && !self->dying && !self->end_wanted && view.len > 0) {
        int error = line_send(self, view.buf, (size_t)view.len);
        if (error != 0)
            line_lose_with(self, error);
        else if (self->unsent_bytes > 0)
            line_watch(self);
    }
    PyBuffer_Release(&view);
    if (self->unsent_bytes > HIGH_BYTES && !self->told_to_pause && !self->dying && self->protocol != NULL) {
        self->told_to_pause = 1;
        line_tell(self, "pause_writing");
    }
    Py_RETURN_NONE;
}

static PyObject *line_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    Line *self = (Line *)object;
    if (self->acceptor != NULL && !self->dying && !self->closing) {
        self->closing = 1;
        if (self->unsent_bytes == 0)
            line_lose(self);
        line_watch(self);
    }
    Py_RETURN_NONE;
}

static PyObject *line_abort(PyObject *object, PyObject *unused)
{
    (void)unused;
    Line *self = (Line *)object;
    if (self->acceptor != NULL)
        line_lose(self);
    Py_RETURN_NONE;
}

static PyObject *line_write_eof(PyObject *object, PyObject *unused)
{
    (void)unused;
    Line *self = (Line *)object;
    if (self->acceptor != NULL && !self->dying) {
        self->end_wanted = 1;
        line_say_end(self);
    }
    Py_RETURN_NONE;
}

static PyObject *line_read(PyObject *object, char reading)
{
    Line *self = (Line *)object;
    if (self->acceptor != NULL) {
        self->reading = reading;
        line_watch(self);
    }
    Py_RETURN_NONE;
}

static PyObject *line_pause_reading(PyObject *object, PyObject *unused)
{
    (void)unused;
    return line_read(object, 0);
}

static PyObject *line_resume_reading(PyObject *object, PyObject *unused)
{
    (void)unused;
    return line_read(object, 1);
}

static PyObject *line_is_reading(PyObject *object, PyObject *unused)
{
    (void)unused;
    Line *self = (Line *)object;
    return PyBool_FromLong(self->reading && self->acceptor != NULL && !self->closing && !self->dying);
}

static PyObject *line_is_closing(PyObject *object, PyObject *unused)
{
    (void)unused;
    Line *self = (Line *)object;
    return PyBool_FromLong(self->acceptor == NULL || self->closing || self->dying);
}

static PyObject *line_unsent(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyLong_FromSize_t(((Line *)object)->unsent_bytes);
}

static PyObject *line_extra(PyObject *object, PyObject *args)
{
    Line *self = (Line *)object;
    const char *name;
    PyObject *otherwise = Py_None, *found = NULL;
    if (!PyArg_ParseTuple(args, "s|O:get_extra_info", &name, &otherwise))
        return NULL;
    if (strcmp(name, "peername") == 0) {
        found = self->peer;
        Py_INCREF(found);
    } else if (strcmp(name, "sockname") == 0 && self->descriptor >= 0) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        if (getsockname(self->descriptor, (struct sockaddr *)&address, &size) == 0)
            return address_of(&address, size);
    } else if (strcmp(name, "socket") == 0 && self->descriptor >= 0) {
        found = object; /* as far as anybody asks: fileno, setsockopt */
        Py_INCREF(found);
    }
    if (found == NULL) {
        found = otherwise;
        Py_INCREF(found);
    }
    return found;
}

static PyObject *line_fileno(PyObject *object, PyObject *unused)
{
    (void)unused;
    return PyLong_FromLong(((Line *)object)->descriptor);
}

static PyObject *line_setsockopt(PyObject *object, PyObject *args)
{
    Line *self = (Line *)object;
    int level, option, number, result;
    Py_buffer view;
    if (PyArg_ParseTuple(args, "iii:setsockopt", &level, &option, &number))
        result = setsockopt(self->descriptor, level, option, &number, sizeof number);
    else {
        PyErr_Clear();
        if (!PyArg_ParseTuple(args, "iiy*:setsockopt", &level, &option, &view))
            return NULL;
        result = setsockopt(self->descriptor, level, option, view.buf, (socklen_t)view.len);
        PyBuffer_Release(&view);
    }
    if (result != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *line_set_protocol(PyObject *object, PyObject *protocol)
{
    Line *self = (Line *)object;
    if (self->acceptor != NULL) {
        PyObject *before = self->protocol;
        Py_INCREF(protocol);
        self->protocol = protocol;
        Py_XDECREF(before);
    }
    Py_RETURN_NONE;
}

static int line_traverse(PyObject *object, visitproc visit, void *arg)
{
    Line *self = (Line *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->protocol);
    Py_VISIT((PyObject *)self->stream);
    Py_VISIT(self->error);
    return 0;
}

static int line_clear(PyObject *object)
{
    Py_CLEAR(((Line *)object)->error);
    return 0;
}

static void line_dealloc(PyObject *object)
{
    Line *self = (Line *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    Py_XDECREF(self->peer);
    Py_XDECREF(self->error);
    Py_XDECREF(self->protocol);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyMethodDef line_methods[] = {
    {"write", line_write, METH_O, "Send, now or as soon as it can be."},
    {"close", line_close, METH_NOARGS, "Close behind what waits to be sent."},
    {"abort", line_abort, METH_NOARGS, "Close now."},
    {"write_eof", line_write_eof, METH_NOARGS, "Send FIN behind what waits to be sent."},
    {"pause_reading", line_pause_reading, METH_NOARGS, "Read no more."},
    {"resume_reading", line_resume_reading, METH_NOARGS, "Read again."},
    {"is_reading", line_is_reading, METH_NOARGS, "Whether it reads."},
    {"is_closing", line_is_closing, METH_NOARGS, "Whether it is closed or about to be."},
    {"get_write_buffer_size", line_unsent, METH_NOARGS, "Bytes that wait to be sent."},
    {"get_extra_info", line_extra, METH_VARARGS, "As asyncio's: peername, sockname, socket."},
    {"set_protocol", line_set_protocol, METH_O, "Tell this one from now on."},
    {"fileno", line_fileno, METH_NOARGS, "The descriptor, or -1."},
    {"setsockopt", line_setsockopt, METH_VARARGS, "As a socket's."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef line_members[] = {
    {"spoke", T_BOOL, offsetof(Line, spoke), READONLY, NULL},
    {"deadline", T_DOUBLE, offsetof(Line, when), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot line_slots[] = {
    {Py_tp_dealloc, line_dealloc}, {Py_tp_traverse, line_traverse}, {Py_tp_clear, line_clear},
    {Py_tp_methods, line_methods}, {Py_tp_members, line_members},   {0, NULL},
};

PyTypeObject *line_type;

PyType_Spec line_spec = {
    "meshcache_server._steps.Line", sizeof(Line), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, line_slots,
};

bool add_lines(PyObject *module)
{
    acceptor_type = (PyTypeObject *)PyType_FromSpec(&acceptor_spec);
    listening_type = (PyTypeObject *)PyType_FromSpec(&listening_spec);
    line_type = (PyTypeObject *)PyType_FromSpec(&line_spec);
    return acceptor_type != NULL && listening_type != NULL && line_type != NULL &&
           PyModule_AddObjectRef(module, "Acceptor", (PyObject *)acceptor_type) == 0 &&
           PyModule_AddObjectRef(module, "ListeningSocket", (PyObject *)listening_type) == 0 &&
           PyModule_AddObjectRef(module, "Line", (PyObject *)line_type) == 0;
}
