/* Asks Python what isn't plain, and tells it what happened: with the interpreter's lock, for which nobody waits with another
 * one held.
 *
 * Judges nothing: without an answer, or when the interpreter ends, nothing is found and nothing shared.
 */
#include "callbacks.h"

#include <string.h>

static atomic_bool closing; /* the interpreter is ending: nobody is asked any more */

bool begin_asking(struct asking *asking)
{
    if (atomic_load(&closing))
        return false;
    asking->state = PyGILState_Ensure();
    PyErr_Fetch(&asking->type, &asking->value, &asking->trace);
    return true;
}

void end_asking(struct asking *asking)
{
    PyObject *raised = PyErr_Occurred();
    if (raised != NULL && !PyErr_GivenExceptionMatches(raised, PyExc_Exception))
        PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), raised);
    PyErr_Clear();
    PyErr_Restore(asking->type, asking->value, asking->trace);
    PyGILState_Release(asking->state);
}

bool ask_scope(struct attachment *attachment, const uint8_t *extension, size_t bytes, uint8_t *context)
{
    struct asking asking;
    if (!begin_asking(&asking))
        return false;
    bool given = false, fault = true;
    if (attachment->attached != NULL) {
        PyObject *attached = attachment->attached, *scopes = attachment->scopes_object;
        Py_INCREF(attached);
        Py_INCREF(scopes);
        const char *data = (const char *)extension; /* NULL becomes None */
        PyObject *answer = PyObject_CallFunction(attachment->callbacks->scope, "OOy#", attached, scopes, data,
                                                 (Py_ssize_t)bytes);
        if (answer != NULL && PyBytes_Check(answer) && PyBytes_Size(answer) == CONTEXT_BYTES) {
            memcpy(context, PyBytes_AsString(answer), CONTEXT_BYTES);
            given = true;
        }
        fault = answer == NULL || (!given && answer != Py_None);
        Py_XDECREF(answer);
        Py_DECREF(scopes);
        Py_DECREF(attached);
    }
    end_asking(&asking);
    if (!fault)
        scopes_remember(attachment->scopes, extension, bytes, given ? context : NULL);
    return given;
}

SSL_SESSION *ask_get(struct callbacks *callbacks, SSL *ssl, const uint8_t *id, size_t id_bytes)
{
    struct asking asking;
    if (!begin_asking(&asking))
        return NULL;
    PyObject *answer = PyObject_CallFunction(callbacks->get, "Ky#", (unsigned long long)(uintptr_t)ssl,
                                             (const char *)id, (Py_ssize_t)id_bytes);
    unsigned long long session = answer == NULL ? 0 : PyLong_AsUnsignedLongLong(answer);
    if (PyErr_Occurred())
        session = 0;
    Py_XDECREF(answer);
    end_asking(&asking);
    return (SSL_SESSION *)(uintptr_t)session;
}

void tell_session(PyObject *whom, const void *owner, const SSL_SESSION *session)
{
    struct asking asking;
    if (!begin_asking(&asking))
        return;
    PyObject *answer = PyObject_CallFunction(whom, "KK", (unsigned long long)(uintptr_t)owner,
                                             (unsigned long long)(uintptr_t)session);
    Py_XDECREF(answer);
    end_asking(&asking);
}

void tell_made(struct attachment *attachment)
{
    struct asking asking;
    if (!begin_asking(&asking))
        return;
    if (attachment->attached != NULL) {
        PyObject *attached = attachment->attached;
        Py_INCREF(attached);
        Py_XDECREF(PyObject_CallFunction(attachment->callbacks->made, "O", attached));
        Py_DECREF(attached);
    }
    end_asking(&asking);
}

void tell_used(struct attachment *attachment, const uint8_t *id, size_t id_bytes)
{
    struct asking asking;
    if (!begin_asking(&asking))
        return;
    if (attachment->attached != NULL) {
        PyObject *attached = attachment->attached;
        Py_INCREF(attached);
        Py_XDECREF(PyObject_CallFunction(attachment->callbacks->used, "Oy#", attached, (const char *)id,
                                         (Py_ssize_t)id_bytes));
        Py_DECREF(attached);
    }
    end_asking(&asking);
}

PyObject *callbacks_closing(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    atomic_store(&closing, true);
    Py_RETURN_NONE;
}
