/* The lock around the core, which C can hold too, without the interpreter: what a step in C does by itself (inflow.c) and
 * what Python does exclude each other. Each time that Python takes it, what C did is settled first, and whatever C was
 * allowed to do by itself is over, since anything may change now; whoever changes nothing that C was told takes it
 * quietly.
 */
#include "hot.h"

#include <stdlib.h>

/* A Python lock; several may be the same one, some of them quiet. Owns its part of the guard. */
typedef struct {
    PyObject_HEAD
    struct guard *guard;
    bool quiet;
} LockObject;

PyTypeObject *lock_type;

struct guard *guard_of(PyObject *object)
{
    return ((LockObject *)object)->guard;
}

void guard_keep(struct guard *guard)
{
    guard->owners++;
}

void guard_drop(struct guard *guard)
{
    if (guard == NULL || --guard->owners > 0)
        return;
    Py_CLEAR(guard->settle);
    pthread_mutex_destroy(&guard->mutex);
    free(guard);
}

static struct guard *guard_new(void)
{
    struct guard *guard = calloc(1, sizeof *guard);
    if (guard == NULL)
        return NULL;
    pthread_mutex_init(&guard->mutex, NULL);
    guard->owners = 1;
    return guard;
}

static PyObject *lock_around(PyTypeObject *type, struct guard *guard, bool quiet)
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    LockObject *self = guard == NULL ? NULL : (LockObject *)allocate(type, 0);
    if (self == NULL)
        return guard == NULL ? PyErr_NoMemory() : NULL;
    self->guard = guard;
    self->quiet = quiet;
    return (PyObject *)self;
}

static PyObject *lock_make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Lock", names))
        return NULL;
    struct guard *guard = guard_new();
    PyObject *self = lock_around(type, guard, false);
    if (self == NULL)
        guard_drop(guard);
    return self;
}

static void lock_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    guard_drop(guard_of(self));
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *lock_quiet(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *quiet = lock_around(Py_TYPE(self), guard_of(self), true);
    if (quiet != NULL)
        guard_keep(guard_of(self));
    return quiet;
}

/* What Python does first, whoever takes the lock; it holds the lock. False with an error set, and the lock given back. */
static bool begin(LockObject *self)
{
    struct guard *guard = self->guard;
    if (!self->quiet)
        atomic_fetch_add(&guard->generation, 1);
    if (!guard->untold || guard->settle == NULL)
        return true;
    guard->untold = false;
    PyObject *settled = PyObject_CallNoArgs(guard->settle);
    if (settled == NULL)
        pthread_mutex_unlock(&guard->mutex);
    Py_XDECREF(settled);
    return settled != NULL;
}

static PyObject *lock_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct guard *guard = guard_of(self);
    if (pthread_mutex_trylock(&guard->mutex) != 0) {
        Py_BEGIN_ALLOW_THREADS
        pthread_mutex_lock(&guard->mutex);
        Py_END_ALLOW_THREADS
    }
    if (!begin((LockObject *)self))
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *lock_acquire(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"blocking", NULL};
    int blocking = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|p:acquire", names, &blocking))
        return NULL;
    if (blocking)
        return lock_enter(self, NULL);
    if (pthread_mutex_trylock(&guard_of(self)->mutex) != 0)
        Py_RETURN_FALSE;
    if (!begin((LockObject *)self))
        return NULL;
    Py_RETURN_TRUE;
}

static PyObject *lock_exit(PyObject *self, PyObject *unused)
{
    (void)unused;
    pthread_mutex_unlock(&guard_of(self)->mutex);
    Py_RETURN_NONE;
}

static PyObject *lock_on_take(PyObject *self, PyObject *settle)
{
    struct guard *guard = guard_of(self);
    PyObject *before = guard->settle;
    guard->settle = settle == Py_None ? NULL : Py_NewRef(settle);
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

static PyObject *lock_locked(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (pthread_mutex_trylock(&guard_of(self)->mutex) != 0)
        Py_RETURN_TRUE;
    pthread_mutex_unlock(&guard_of(self)->mutex);
    Py_RETURN_FALSE;
}

static PyObject *lock_generation(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(atomic_load(&guard_of(self)->generation));
}

static PyGetSetDef lock_getters[] = {
    {"generation", lock_generation, NULL, "How often it was taken by who may have changed something.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef lock_methods[] = {
    {"__enter__", lock_enter, METH_NOARGS, "Take the lock, and settle what C did."},
    {"__exit__", lock_exit, METH_VARARGS, "Give it back."},
    {"acquire", (PyCFunction)(void (*)(void))lock_acquire, METH_VARARGS | METH_KEYWORDS, "Take it; or say that it is held."},
    {"release", lock_exit, METH_NOARGS, "Give it back."},
    {"locked", lock_locked, METH_NOARGS, "Whether anybody has it."},
    {"quiet", lock_quiet, METH_NOARGS, "The same lock for who changes nothing that C was told."},
    {"on_take", lock_on_take, METH_O, "What to call, with the lock held, when C did something; or None."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot lock_slots[] = {
    {Py_tp_doc, "A lock that C can hold too, without the interpreter."},
    {Py_tp_new, lock_make},
    {Py_tp_dealloc, lock_dealloc},
    {Py_tp_methods, lock_methods},
    {Py_tp_getset, lock_getters},
    {0, NULL},
};

PyType_Spec lock_spec = {"meshcache.hot._hot.Lock", sizeof(LockObject), 0, Py_TPFLAGS_DEFAULT, lock_slots};
