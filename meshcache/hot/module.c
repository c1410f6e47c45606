/* The module: makes its types, keys its hash, and sees that a fork finds nothing half done. What Python may ask of it is in
 * the tables of methods of vip_cache.c, scopes.c, names.c, door_type.c, callbacks.c, tier_records.c, tier_file.c, lock.c and
 * inflow.c, and in _hot.pyi.
 */
#include "hot.h"

#include <string.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <sys/random.h>
#endif

/* --- SipHash-2-4 (Aumasson and Bernstein): ids come from strangers, who must not be able to choose slots --- */

static uint64_t hash_key[2];

struct sip {
    uint64_t a, b, c, d;
};

static uint64_t rotated(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

static void sip_rounds(struct sip *sip, int rounds)
{
    while (rounds--) {
        sip->a += sip->b;
        sip->c += sip->d;
        sip->b = rotated(sip->b, 13) ^ sip->a;
        sip->d = rotated(sip->d, 16) ^ sip->c;
        sip->a = rotated(sip->a, 32);
        sip->c += sip->b;
        sip->a += sip->d;
        sip->b = rotated(sip->b, 17) ^ sip->c;
        sip->d = rotated(sip->d, 21) ^ sip->a;
        sip->c = rotated(sip->c, 32);
    }
}

static uint64_t word_at(const uint8_t *data, size_t bytes)
{
    uint64_t word = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (bytes == sizeof word) { /* most are: one load in place of a loop, which took half of a hash */
        memcpy(&word, data, sizeof word);
        return word;
    }
#endif
    for (size_t at = 0; at < bytes; at++)
        word |= (uint64_t)data[at] << (8 * at);
    return word;
}

static uint64_t siphash(uint64_t low, uint64_t high, const uint8_t *data, size_t bytes)
{
    struct sip sip = {low ^ 0x736f6d6570736575u, high ^ 0x646f72616e646f6du, low ^ 0x6c7967656e657261u,
                      high ^ 0x7465646279746573u};
    size_t whole = bytes / 8;
    for (size_t at = 0; at <= whole; at++) {
        size_t left = at < whole ? 8 : bytes % 8;
        uint64_t word = word_at(data + 8 * at, left) | (at < whole ? 0 : (uint64_t)bytes << 56);
        sip.d ^= word;
        sip_rounds(&sip, 2);
        sip.a ^= word;
    }
    sip.c ^= 0xff;
    sip_rounds(&sip, 4);
    return sip.a ^ sip.b ^ sip.c ^ sip.d;
}

uint64_t keyed_hash(const uint8_t *data, size_t bytes)
{
    return siphash(hash_key[0], hash_key[1], data, bytes);
}

static PyObject *hash_with(PyObject *module, PyObject *args)
{
    (void)module;
    unsigned long long low, high;
    const char *data;
    Py_ssize_t bytes;
    if (!PyArg_ParseTuple(args, "KKy#:siphash", &low, &high, &data, &bytes))
        return NULL;
    return PyLong_FromUnsignedLongLong(siphash(low, high, (const uint8_t *)data, (size_t)bytes));
}

static PyObject *note_read(PyObject *module, PyObject *data)
{
    (void)module;
    char *bytes;
    Py_ssize_t count;
    struct ticket_note note;
    if (PyBytes_AsStringAndSize(data, &bytes, &count) < 0)
        return NULL;
    if (!ticket_note_read((const uint8_t *)bytes, (size_t)count, &note))
        Py_RETURN_NONE;
    return Py_BuildValue("(y#ddy#)", note.prefix, (Py_ssize_t)TICKET_PREFIX_BYTES, note.key_age_s, note.lineage_s,
                         note.node, (Py_ssize_t)note.node_bytes);
}

/* --- fork --- */

static void before_fork(void)
{
    pthread_mutex_lock(&all_lock);
    doors_lock_all();
    tables_lock_all();
    scopes_lock_all();
    names_lock_all();
    registry_lock_all();
}

static void after_fork(bool forked)
{
    registry_unlock_all();
    names_unlock_all();
    scopes_unlock_all();
    tables_unlock_all();
    doors_unlock_all(forked);
    if (forked)
        backlogs_forget();
    pthread_mutex_unlock(&all_lock);
}

static void after_fork_in_parent(void)
{
    after_fork(false);
}

static void after_fork_in_child(void)
{
    after_fork(true);
}

/* --- the module --- */

static PyMethodDef functions[] = {
    {"closing", callbacks_closing, METH_NOARGS, "The interpreter ends: ask Python nothing any more."},
    {"siphash", hash_with, METH_VARARGS, "The hash by which ids are spread, with a key of the caller's: for its test."},
    {"use_zmq", mail_use, METH_VARARGS, "Take the libzmq that a module of this path was linked with. False: there is none."},
    {"receive", mail_receive, METH_VARARGS, "Messages that are here on a socket, each with its connection's name."},
    {"send", mail_send, METH_VARARGS, "Hand a message to a socket; false when its queue is full."},
    {"send_each", mail_send_each, METH_VARARGS, "Hand a message to several sockets; the places of those whose queues are full."},
    {"push_of", own_push_of, METH_VARARGS, "The push of several usual sessions: for its test."},
    {"ready", mail_ready, METH_O, "Which descriptors an epoll tells of now."},
    {"ticket_note", note_read, METH_O, "What a ticket's note says, or None where Python is to read it: for its test."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_hot", "The handshake's hot path in C.", -1, functions, NULL, NULL, NULL, NULL,
};

enum { INTERFACE = 21 }; /* of __init__.py: one higher with each change of what Python may ask */

static bool add_type(PyObject *module, const char *name, PyType_Spec *spec, PyTypeObject **type)
{
    *type = (PyTypeObject *)PyType_FromSpec(spec);
    return *type != NULL && PyModule_AddObjectRef(module, name, (PyObject *)*type) == 0;
}

PyMODINIT_FUNC PyInit__hot(void);

PyMODINIT_FUNC PyInit__hot(void)
{
    static bool forks_watched;
    if (getentropy(hash_key, sizeof hash_key) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
    if (PyModule_AddIntConstant(module, "INTERFACE", INTERFACE) != 0 || !add_type(module, "VipCache", &table_spec, &table_type) ||
        !add_type(module, "Answers", &scopes_spec, &scopes_type) ||
        !add_type(module, "ContextNames", &names_spec, &names_type) ||
        !add_type(module, "Door", &door_spec, &door_type) ||
        !add_type(module, "Callbacks", &callbacks_spec, &callbacks_type) ||
        !add_type(module, "TierRecords", &tier_records_spec, &tier_records_type) ||
        !add_type(module, "TierSealer", &tier_sealer_spec, &tier_sealer_type) ||
        !add_type(module, "TierFile", &tier_file_spec, &tier_file_type) ||
#if defined(__linux__)
        !add_type(module, "Inflow", &inflow_spec, &inflow_type) ||
#endif
        !add_type(module, "Lock", &lock_spec, &lock_type)) {
        Py_DECREF(module);
        return NULL;
    }
    if (!forks_watched) {
        registry_init();
        forks_watched = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0;
    }
    return module;
}
