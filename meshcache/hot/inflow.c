/* What comes from ZeroMQ and is filed without the interpreter: the pump's sleep, which goes on while all that comes are
 * pushes like those before them. The twin of runtime/pump/pump.py's wait, edges/listener.py and core/replication/intake_fast_path.py.
 *
 * Files a push only under a permit: the core gives one for a stream once it has taken a push of it in itself, with all
 * that it asks then, and a permit holds until Python takes the core's lock to change something (lock.c). Whatever else
 * comes, and whatever isn't plain, is brought to Python as it came, with all that came after it. What was filed is kept
 * here until the core is told, which is before Python does anything with the lock held. Hostile: every byte that comes.
 */
#include "hot.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/epoll.h>

enum {
    LETTERS_MAX = 32,     /* runtime.pump.pump.RECEIVE_MAX: taken from the transport at a time */
    LISTS = 256,          /* lists of connections, which are spread over them */
    CONNECTIONS_MAX = 4096,     /* core.values.limits.connections_max is less */
    STREAMS_MAX = 16,     /* core.membership.connections.STREAMS_MAX */
    UNTOLD_PUSHES = 256,  /* so many, or as many sessions as below, and the core is told */
    UNTOLD_SESSIONS = 2048,
    RESTS = 3,            /* core.values.limits.rest_messages */
};

static const double UNTOLD_S = 0.25; /* how long the core isn't told of what was filed, at most */
static const double FINE_S = 0.001; /* a rest that is shorter isn't worth a system call */
static const double SOON_S = 0.008; /* runtime.pump.pump_sleep.LIE_S_MAX */

/* A stream with a permit, and what the core wasn't told of it. Owns all that it points to but the connection. */
struct permit {
    struct permit *next;
    PyObject *token, *table; /* the core's name for it; its part of the cache */
    struct push_terms terms; /* `envelope` and `head` are in `data`; `second` is filled in for each push */
    double epoch;
    uint64_t first;          /* of what the core wasn't told */
    uint32_t *ages;          /* of each push, in microseconds; `pushes` of them */
    uint64_t *names;         /* of each session; `sessions` of them */
    unsigned pushes, sessions, ages_room, names_room;
    unsigned long long bytes;
    uint8_t data[];
};

/* A connection that pushes with a permit come on. Owns its permits. */
struct connection {
    struct connection *next;
    struct permit *permits;
    double heard_at, silent_s; /* after so long a silence the core is asked */
    double messages, sessions; /* so many may come before the core is asked */
    uint8_t name_bytes, name[];
};

/* Guarded by the core's lock, but for what is atomic, and for what only who stays uses. */
typedef struct {
    PyObject_HEAD
    PyObject *lock; /* owned, as the next one: the core's, and the transport's */
    PyObject *sockets;
    struct connection *connections[LISTS];
    unsigned connections_count, untold_pushes, untold_sessions;
    unsigned long long generation; /* of the permits */
    double untold_at;              /* since when the core wasn't told something */
    atomic_bool closed;            /* its sockets are about to go */
    atomic_bool resting; /* nobody looks at what comes */
    atomic_bool answers; /* something is here that no descriptor tells of */
    struct backlog backlog; /* as it was left by who stays */
    bool rests;          /* the last rest was worth it; this and the next one are the pump's own */
    double read_at;
} InflowObject;

/* What one call of `stay` was asked and has found. */
struct stay {
    InflowObject *self;
    void *router;
    int readable, router_fd, wakeup; /* the transport's epoll, and the descriptor in it that is the router's */
    double whole_at, collected_until; /* when Python wants to be back */
    double rests_s[RESTS];            /* how long messages may lie after one was read, two, and more */
    unsigned long long woken; /* what the eventfd said */
    bool mail;                /* something is to be read in Python */
    unsigned count, read;     /* letters that are Python's, from `first`; letters read in all, the last time */
    unsigned first;
    unsigned long long generation; /* of the core's lock when nobody waited for a session */
    struct letter letters[LETTERS_MAX];
};

PyTypeObject *inflow_type;

static double clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- permits --- */

static void permit_free(struct permit *permit)
{
    Py_XDECREF(permit->token);
    Py_XDECREF(permit->table);
    free(permit->ages);
    free(permit->names);
    free(permit);
}

/* Forgets all permits; with the interpreter's lock held, and nothing untold. */
static void forget_all(InflowObject *self)
{
    for (int at = 0; at < LISTS; at++) {
        struct connection *connection = self->connections[at];
        self->connections[at] = NULL;
        while (connection != NULL) {
            struct connection *next = connection->next;
            while (connection->permits != NULL) {
                struct permit *permit = connection->permits;
                connection->permits = permit->next;
                permit_free(permit);
            }
            free(connection);
            connection = next;
        }
    }
    self->connections_count = 0;
}

static struct connection **connections_for(InflowObject *self, const uint8_t *name, size_t bytes)
{
    return &self->connections[keyed_hash(name, bytes) % LISTS];
}

static struct connection *connection_of(InflowObject *self, const uint8_t *name, size_t bytes)
{
    struct connection *connection = *connections_for(self, name, bytes);
    while (connection != NULL && (connection->name_bytes != bytes || memcmp(connection->name, name, bytes) != 0))
        connection = connection->next;
    return connection;
}

static struct connection *connection_for(InflowObject *self, const uint8_t *name, size_t bytes)
{
    struct connection *connection = connection_of(self, name, bytes);
    if (connection != NULL || bytes > CONNECTION_NAME_MAX || self->connections_count >= CONNECTIONS_MAX)
        return connection;
    connection = calloc(1, sizeof *connection + bytes);
    if (connection == NULL)
        return NULL;
    memcpy(connection->name, name, bytes);
    connection->name_bytes = (uint8_t)bytes;
    struct connection **list = connections_for(self, name, bytes);
    connection->next = *list;
    *list = connection;
    self->connections_count++;
    return connection;
}

/* Takes the permit of a stream out of its connection, if there is one; else makes one. Puts it first. NULL: no room. */
static struct permit *permit_for(struct connection *connection, uint32_t stream, struct span envelope, struct span head)
{
    int count = 0;
    struct permit **at = &connection->permits, *permit;
    for (; *at != NULL; at = &(*at)->next, count++)
        if ((*at)->terms.stream == stream && (*at)->terms.envelope.bytes == envelope.bytes &&
            (*at)->terms.head.bytes == head.bytes)
            break;
    permit = *at;
    if (permit != NULL)
        *at = permit->next;
    else if (count < STREAMS_MAX)
        permit = calloc(1, sizeof *permit + envelope.bytes + head.bytes);
    if (permit == NULL)
        return NULL;
    memcpy(permit->data, envelope.data, envelope.bytes);
    memcpy(permit->data + envelope.bytes, head.data, head.bytes);
    permit->terms.envelope = (struct span){permit->data, envelope.bytes};
    permit->terms.head = (struct span){permit->data + envelope.bytes, head.bytes};
    permit->next = connection->permits;
    connection->permits = permit;
    return permit;
}

/* Python holds the core's lock, and has been told of everything. */
static PyObject *inflow_permit(PyObject *object, PyObject *args)
{
    InflowObject *self = (InflowObject *)object;
    PyObject *token, *table;
    const char *name, *envelope, *head;
    Py_ssize_t name_bytes, envelope_bytes, head_bytes;
    unsigned long stream, lifetime_s;
    unsigned long long next_seq;
    double epoch, lineage_s, heard_at, silent_s, messages, sessions;
    if (!PyArg_ParseTuple(args, "Oy#y#y#O!kKddkdddd:permit", &token, &name, &name_bytes, &envelope, &envelope_bytes, &head,
                          &head_bytes, table_type, &table, &stream, &next_seq, &epoch, &lineage_s, &lifetime_s, &heard_at,
                          &silent_s, &messages, &sessions))
        return NULL;
    unsigned long long generation = atomic_load(&guard_of(self->lock)->generation);
    if (self->generation != generation) {
        forget_all(self);
        self->generation = generation;
    }
    struct connection *connection =
        atomic_load(&self->closed) ? NULL : connection_for(self, (const uint8_t *)name, (size_t)name_bytes);
    struct permit *permit = NULL;
    if (connection != NULL)
        permit = permit_for(connection, (uint32_t)stream, (struct span){(const uint8_t *)envelope, (size_t)envelope_bytes},
                            (struct span){(const uint8_t *)head, (size_t)head_bytes});
    if (permit == NULL)
        Py_RETURN_FALSE;
    PyObject *former[] = {permit->token, permit->table};
    permit->token = Py_NewRef(token);
    permit->table = Py_NewRef(table);
    permit->terms.stream = (uint32_t)stream;
    permit->terms.next_seq = next_seq;
    permit->terms.lineage_s = lineage_s;
    permit->terms.lifetime_s = lifetime_s > UINT32_MAX ? UINT32_MAX : (uint32_t)lifetime_s;
    permit->epoch = epoch;
    connection->heard_at = heard_at;
    connection->silent_s = silent_s;
    connection->messages = messages;
    connection->sessions = sessions;
    Py_XDECREF(former[0]);
    Py_XDECREF(former[1]);
    Py_RETURN_TRUE;
}

/* --- filing, with the core's lock held and without the interpreter's --- */

/* Room for one push more; false without memory. */
static bool make_room(struct permit *permit)
{
    if (permit->pushes == permit->ages_room) {
        unsigned room = permit->ages_room ? 2 * permit->ages_room : 16;
        uint32_t *ages = realloc(permit->ages, room * sizeof *ages);
        if (ages == NULL)
            return false;
        permit->ages = ages;
        permit->ages_room = room;
    }
    if (permit->sessions + PUSH_MAX > permit->names_room) {
        unsigned room = 2 * permit->names_room + PUSH_MAX;
        uint64_t *names = realloc(permit->names, room * sizeof *names);
        if (names == NULL)
            return false;
        permit->names = names;
        permit->names_room = room;
    }
    return true;
}

static bool file_under(InflowObject *self, struct connection *connection, struct permit *permit, struct span payload,
                       double now)
{
    struct filed filed;
    permit->terms.second = (long long)floor(now - permit->epoch);
    if (table_is_over(permit->table) || !make_room(permit) ||
        push_file(table_of(permit->table), payload, &permit->terms, &filed) <= 0)
        return false;
    if (permit->pushes == 0)
        permit->first = permit->terms.next_seq;
    permit->ages[permit->pushes++] = filed.age_us;
    memcpy(permit->names + permit->sessions, filed.names, filed.count * sizeof *filed.names);
    permit->sessions += filed.count;
    permit->bytes += payload.bytes;
    permit->terms.next_seq = filed.last + 1;
    connection->heard_at = now;
    connection->messages -= 1;
    connection->sessions -= filed.count;
    if (self->untold_pushes++ == 0)
        self->untold_at = now;
    self->untold_sessions += filed.count;
    guard_of(self->lock)->untold = true;
    return true;
}

/* Files what a letter holds, if it is a push with a permit. */
static bool file_letter(struct stay *stay, struct letter *letter)
{
    InflowObject *self = stay->self;
    struct guard *guard = guard_of(self->lock);
    struct span payload = letter_bytes(letter);
    bool filed = false;
    pthread_mutex_lock(&guard->mutex);
    double now = clock_now();
    bool holds = self->generation == atomic_load(&guard->generation);
    struct connection *connection = holds ? connection_of(self, letter->name, letter->name_bytes) : NULL;
    if (connection != NULL && now - connection->heard_at <= connection->silent_s && connection->messages >= 1 &&
        connection->sessions >= PUSH_MAX &&
        self->untold_pushes < UNTOLD_PUSHES && self->untold_sessions + PUSH_MAX <= UNTOLD_SESSIONS)
        for (struct permit *permit = connection->permits; permit != NULL && !filed; permit = permit->next)
            filed = file_under(self, connection, permit, payload, now);
    if (filed)
        stay->generation = self->generation;
    pthread_mutex_unlock(&guard->mutex);
    return filed;
}

/* --- the core is told: Python holds its lock --- */

static PyObject *told(struct connection *connection, struct permit *permit)
{
    return Py_BuildValue("(OKy#y#Kd)", permit->token, (unsigned long long)permit->first, (const char *)permit->names,
                         (Py_ssize_t)(permit->sessions * sizeof *permit->names), (const char *)permit->ages,
                         (Py_ssize_t)(permit->pushes * sizeof *permit->ages), permit->bytes, connection->heard_at);
}

static PyObject *inflow_take(PyObject *object, PyObject *unused)
{
    (void)unused;
    InflowObject *self = (InflowObject *)object;
    PyObject *all = PyList_New(0);
    for (int at = 0; all != NULL && self->untold_pushes > 0 && at < LISTS; at++)
        for (struct connection *connection = self->connections[at]; all != NULL && connection != NULL;
             connection = connection->next)
            for (struct permit *permit = connection->permits; all != NULL && permit != NULL; permit = permit->next) {
                if (permit->pushes == 0)
                    continue;
                PyObject *one = told(connection, permit);
                if (one == NULL || PyList_Append(all, one) < 0)
                    Py_CLEAR(all);
                Py_XDECREF(one);
                permit->pushes = permit->sessions = 0;
                permit->bytes = 0;
            }
    self->untold_pushes = self->untold_sessions = 0;
    return all;
}

/* --- staying: waiting, reading and filing without the interpreter --- */

enum { WAKEUP = 1, MESSAGES = 2 };

/* Until one of these descriptors is readable, or that moment. Says which are; takes note of what woke us. */
static int wait_for(struct stay *stay, int which, double until)
{
    struct pollfd polled[2] = {{.fd = stay->wakeup, .events = POLLIN}, {.fd = stay->readable, .events = POLLIN}};
    for (;;) {
        double left = fmin(fmax(until - clock_now(), 0), 3600);
        struct timespec timeout = {(time_t)left, (long)(1e9 * (left - floor(left)))};
        int ready = ppoll(polled, which & MESSAGES ? 2 : 1, &timeout, NULL);
        if (ready < 0 && errno == EINTR)
            continue;
        uint64_t number;
        if (ready > 0 && polled[0].revents && read(stay->wakeup, &number, sizeof number) == (ssize_t)sizeof number)
            stay->woken += number;
        return ready <= 0 ? 0 : (polled[0].revents ? WAKEUP : 0) | (which & MESSAGES && polled[1].revents ? MESSAGES : 0);
    }
}

/* Whether the router alone has something. */
static bool router_alone(const struct stay *stay)
{
    struct epoll_event events[2];
    int count = epoll_wait(stay->readable, events, 2, 0);
    return count == 1 && events[0].data.fd == stay->router_fd;
}

/* Reads what is here, and files it up to the first letter that is Python's. */
static void read_letters(struct stay *stay)
{
    struct guard *sockets = guard_of(stay->self->sockets);
    stay->first = stay->count = stay->read = 0;
    pthread_mutex_lock(&sockets->mutex);
    errno = 0;
    while (stay->read < LETTERS_MAX && !atomic_load(&stay->self->closed) && letter_next(stay->router, &stay->letters[stay->read])) {
        stay->read++;
        errno = 0;
    }
    stay->mail = errno != 0; /* Python meets it, too */
    backlog_note(&stay->self->backlog, stay->read == LETTERS_MAX);
    pthread_mutex_unlock(&sockets->mutex);
    while (stay->first < stay->read && file_letter(stay, &stay->letters[stay->first]))
        letter_close(&stay->letters[stay->first++]);
    stay->count = stay->read - stay->first;
}

/* Until when messages may lie after so many were read; see runtime.pump.pump.Pump._lie_until. */
static double lie_until(struct stay *stay, unsigned received, double now)
{
    InflowObject *self = stay->self;
    double rest_s = 0;
    if (received > 0) {
        rest_s = stay->rests_s[received < RESTS ? received - 1 : RESTS - 1];
        self->rests = self->rests || now - self->read_at < rest_s;
        self->read_at = now;
    }
    double until = self->rests ? now + rest_s : now;
    return stay->collected_until - now <= SOON_S ? fmax(until, stay->collected_until) : until;
}

/* Lets messages lie until then. True when Python is to go on. */
static bool rest(struct stay *stay, double until, double deadline)
{
    InflowObject *self = stay->self;
    atomic_store(&self->resting, true);
    /* Whoever waits for a session from here on sees that we rest; who did before has taken the core's lock. */
    if (atomic_load(&guard_of(self->lock)->generation) == stay->generation)
        wait_for(stay, WAKEUP, fmin(until, deadline));
    atomic_store(&self->resting, false);
    stay->mail = atomic_exchange(&self->answers, false);
    if (until < deadline && !stay->woken)
        self->rests = (wait_for(stay, WAKEUP | MESSAGES, 0) & MESSAGES) != 0;
    return stay->mail || stay->woken;
}

/* When the core is to be told of what was filed. */
static double told_at(InflowObject *self)
{
    pthread_mutex_t *mutex = &guard_of(self->lock)->mutex;
    pthread_mutex_lock(mutex);
    double at = self->untold_pushes > 0 ? self->untold_at + UNTOLD_S : INFINITY;
    pthread_mutex_unlock(mutex);
    return at;
}

static void stay_until_needed(struct stay *stay, unsigned received)
{
    double deadline = fmin(stay->whole_at, stay->collected_until), now = clock_now(), until = lie_until(stay, received, now);
    while (!atomic_load(&stay->self->closed)) {
        if (stay->read == LETTERS_MAX) { /* more may be here, of which nothing tells */
            wait_for(stay, WAKEUP, 0);
        } else {
            if (until - now >= FINE_S && rest(stay, until, deadline))
                return;
            double end = fmin(deadline, told_at(stay->self));
            if (!(wait_for(stay, WAKEUP | MESSAGES, end) & MESSAGES) && !stay->woken && clock_now() >= end)
                return;
            stay->mail = !stay->woken && !router_alone(stay);
        }
        if (stay->woken || stay->mail)
            return;
        read_letters(stay);
        now = clock_now();
        if (stay->count > 0 || stay->mail || now >= fmin(deadline, told_at(stay->self)))
            return;
        until = lie_until(stay, stay->read, now);
    }
}

static PyObject *brought(struct stay *stay)
{
    PyObject *all = PyList_New(0);
    for (unsigned at = stay->first; at < stay->first + stay->count; at++) {
        PyObject *one = all == NULL ? NULL : letter_to_python(&stay->letters[at]);
        letter_close(&stay->letters[at]);
        if (all != NULL && (one == NULL || PyList_Append(all, one) < 0))
            Py_CLEAR(all);
        Py_XDECREF(one);
    }
    if (all == NULL)
        return NULL;
    return Py_BuildValue("(NOKO)", all, stay->read == LETTERS_MAX ? Py_True : Py_False, stay->woken,
                         stay->mail ? Py_True : Py_False);
}

static PyObject *inflow_stay(PyObject *object, PyObject *args)
{
    InflowObject *self = (InflowObject *)object;
    unsigned long long router;
    unsigned received;
    struct stay *stay = malloc(sizeof *stay);
    if (stay == NULL)
        return PyErr_NoMemory();
    memset(stay, 0, offsetof(struct stay, letters));
    stay->self = self;
    PyObject *result = NULL;
    if (PyArg_ParseTuple(args, "KiiiKIdd(ddd):stay", &router, &stay->readable, &stay->router_fd, &stay->wakeup,
                         &stay->generation, &received, &stay->whole_at, &stay->collected_until, &stay->rests_s[0],
                         &stay->rests_s[1], &stay->rests_s[2])) {
        stay->router = (void *)(uintptr_t)router;
        atomic_store(&self->answers, false);
        backlog_note(&self->backlog, false); /* Python has read all since */
        Py_BEGIN_ALLOW_THREADS
        stay_until_needed(stay, received);
        Py_END_ALLOW_THREADS
        if (atomic_load(&self->closed))
            backlog_note(&self->backlog, false); /* nobody reads them any more */
        result = brought(stay);
    }
    free(stay);
    return result;
}

/* Something is here that no descriptor tells of. False when who stays looks for it by itself, after its rest. */
static PyObject *inflow_answer_waits(PyObject *object, PyObject *unused)
{
    (void)unused;
    InflowObject *self = (InflowObject *)object;
    atomic_store(&self->answers, true);
    return PyBool_FromLong(!atomic_load(&self->resting));
}

static PyObject *inflow_resting(PyObject *object, void *unused)
{
    (void)unused;
    return PyBool_FromLong(atomic_load(&((InflowObject *)object)->resting));
}

static PyObject *inflow_backlog(PyObject *object, void *unused)
{
    (void)unused;
    return PyBool_FromLong(atomic_load(&((InflowObject *)object)->backlog.left));
}

/* Python has read all that is here. */
static PyObject *inflow_caught_up(PyObject *object, PyObject *unused)
{
    (void)unused;
    backlog_note(&((InflowObject *)object)->backlog, false);
    Py_RETURN_NONE;
}

static PyObject *inflow_stop(PyObject *object, PyObject *unused)
{
    (void)unused;
    atomic_store(&((InflowObject *)object)->closed, true);
    Py_RETURN_NONE;
}

/* Python holds the core's lock, and has been told of everything. */
static PyObject *inflow_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    InflowObject *self = (InflowObject *)object;
    atomic_store(&self->closed, true);
    backlog_note(&self->backlog, false);
    forget_all(self);
    Py_RETURN_NONE;
}

static PyObject *inflow_make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lock", "sockets", NULL};
    PyObject *lock, *sockets;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!:Inflow", names, lock_type, &lock, lock_type, &sockets))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    InflowObject *self = (InflowObject *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    self->lock = Py_NewRef(lock);
    self->sockets = Py_NewRef(sockets);
    self->rests = true;
    self->read_at = -INFINITY;
    return (PyObject *)self;
}

static void inflow_dealloc(PyObject *object)
{
    InflowObject *self = (InflowObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    backlog_note(&self->backlog, false);
    forget_all(self);
    Py_XDECREF(self->lock);
    Py_XDECREF(self->sockets);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

static PyMethodDef inflow_methods[] = {
    {"permit", inflow_permit, METH_VARARGS, "Let pushes of a stream be filed until something changes; false: no room."},
    {"take", inflow_take, METH_NOARGS, "What was filed since this was asked before."},
    {"stay", inflow_stay, METH_VARARGS, "Wait, read and file until Python is needed."},
    {"answer_waits", inflow_answer_waits, METH_NOARGS, "Something waits that no descriptor tells of."},
    {"caught_up", inflow_caught_up, METH_NOARGS, "Nothing is left of what came and was not read at once."},
    {"stop", inflow_stop, METH_NOARGS, "Read nothing any more."},
    {"close", inflow_close, METH_NOARGS, "Forget all permits, and take no more."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef inflow_getters[] = {
    {"backlog", inflow_backlog, NULL, "Whether more came than was read at once; what is left may be told of by no descriptor.",
     NULL},
    {"resting", inflow_resting, NULL, "Whether what comes lies unread.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot inflow_slots[] = {
    {Py_tp_doc, "What comes from the mesh and is filed without the interpreter."},
    {Py_tp_new, inflow_make},
    {Py_tp_dealloc, inflow_dealloc},
    {Py_tp_methods, inflow_methods},
    {Py_tp_getset, inflow_getters},
    {0, NULL},
};

PyType_Spec inflow_spec = {"meshcache.hot._hot.Inflow", sizeof(InflowObject), 0, Py_TPFLAGS_DEFAULT, inflow_slots};

#endif
