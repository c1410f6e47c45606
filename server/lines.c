/* Sockets of clients, accepted, read, written and closed without the loop's transports: what front.py asks for.
 *
 * A `Front` is one epoll instance, which the loop watches as one descriptor; its `step` takes what has happened. A `Gate` is
 * a listening socket with what new connections need to know. A `Line` is one connection. As long as it only shakes hands it
 * is quiet: no object of Python's knows it. When the client says something, or anything is out of the ordinary, the gate's
 * `adopt` makes a protocol of asyncio's for it, and the line is that one's transport from then on.
 *
 * Who owns what: the front owns its lines (one reference, from `new_line` until `bury`), they keep it, and epoll its gates; a
 * line owns its gate, its stream, its protocol, its descriptor and what waits to be sent. All of it belongs to the loop's
 * thread; the interpreter's lock is let go while a quiet line takes a step, which touches that line and the front's buffer
 * alone. A descriptor is taken out of epoll before it is closed: a forked child may still hold it.
 */
#include "steps.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <structmember.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 64,         /* taken by one step; then others have their turn */
    ACCEPTS_MAX = 32,        /* of one gate, by one step */
    READ_BYTES = 256 * 1024, /* of one read, as asyncio's */
    HIGH_BYTES = 64 * 1024,  /* that wait to be sent: then the protocol is told to pause; as asyncio's */
    LOW_BYTES = 16 * 1024,   /* and to go on */
};

/* Why a line is given to Python: front.py has the same. */
enum how { BORN, SHAKING, OPEN, REFUSED, ENDED, RESET };
/* What `step` returns: bits. */
enum { SOME_ARE_SILENT = 1, NO_DESCRIPTOR = 2, UNWATCHED = 4 };

typedef struct Line Line;

/* A ring of lines, with itself as its first and last. */
struct ring {
    struct ring *next, *previous;
};

typedef struct {
    PyObject_HEAD
    int epoll;               /* -1 once closed */
    PyObject *soon;          /* (callable): the loop calls it soon */
    char *room;              /* READ_BYTES, of one call */
    struct ring shaking;     /* quiet lines, first come first */
    struct ring silent;      /* quiet lines whose handshake is over, longest silent first */
    struct ring adopted;     /* the others */
    struct ring dying;       /* lines to be buried */
    Py_ssize_t open;         /* lines in all, until they are buried */
    Py_ssize_t quiet;        /* those of the first two rings */
    Py_ssize_t limit;        /* of `open`: one more is Python's to refuse */
    char stepping, asked;    /* whether `step` runs; whether `soon` was called */
    char full;               /* a gate found no descriptor left */
    char deaf;               /* a line couldn't be watched */
} Front;

typedef struct {
    PyObject_HEAD
    int descriptor;    /* the listening socket's, not owned */
    char watched;      /* whether it is in epoll */
    char at_once;      /* whether Python wants each line at the end of its handshake */
    double timeout_s;  /* for a handshake */
    PyObject *maker;   /* or NULL: Python wants each line at its beginning */
    PyObject *known;   /* (host) -> whether lines from there may be quiet */
    PyObject *adopt;   /* (line, stream or None, how, what): makes the line a protocol */
    PyObject *done;    /* (stream): a handshake has ended well */
} Gate;

struct Line {
    PyObject_HEAD
    struct ring at; /* first of what isn't Python's: see line_at */
    Front *front;   /* NULL once buried */
    Gate *gate;
    StreamObject *stream; /* of a quiet line; then it is the protocol's */
    PyObject *protocol;   /* NULL while it is quiet */
    PyObject *peer;       /* as socket.getpeername() tells it */
    PyObject *error;      /* why it was lost, or NULL */
    double when;          /* a deadline while it shakes hands, then since when it is silent */
    char *unsent;         /* owned */
    size_t unsent_bytes, unsent_from, unsent_room;
    int descriptor; /* -1 once closed */
    unsigned interest;
    char quiet, spoke, reading, at_end, closing, dying, end_wanted, end_sent, told_to_pause;
};

static PyTypeObject *front_type, *gate_type, *line_type;

static Line *line_at(struct ring *ring)
{
    return (Line *)((char *)ring - offsetof(Line, at));
}

static void take_out(struct ring *ring)
{
    ring->previous->next = ring->next;
    ring->next->previous = ring->previous;
}

static void put_last(struct ring *ring, struct ring *one)
{
    one->previous = ring->previous;
    one->next = ring;
    ring->previous->next = one;
    ring->previous = one;
}

static void move(struct ring *ring, struct ring *one)
{
    take_out(one);
    put_last(ring, one);
}

static double clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* --- what is asked of the kernel --- */

static void lose_with(Line *line, int number);

/* Watches what a line waits for now. With nothing to wait for it is taken out: epoll tells of a hang-up otherwise, for
 * ever. */
static void watch(Line *line)
{
    unsigned wanted = 0;
    if (line->descriptor < 0 || line->front->epoll < 0)
        return;
    if (line->reading && !line->at_end && !line->closing && !line->dying)
        wanted |= EPOLLIN;
    if (line->unsent_bytes > 0 && !line->dying)
        wanted |= EPOLLOUT;
    if (wanted == line->interest)
        return;
    struct epoll_event event = {.events = wanted, .data = {.ptr = line}};
    int what = wanted == 0 ? EPOLL_CTL_DEL : line->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(line->front->epoll, what, line->descriptor, &event) == 0 || wanted == 0) {
        line->interest = wanted;
        return;
    }
    line->front->deaf = 1;
    lose_with(line, errno); /* it would hear nothing any more, and nobody would know why */
}

static void ask_for_settling(Front *front)
{
    if (front->stepping || front->asked)
        return;
    PyObject *settle = PyObject_GetAttrString((PyObject *)front, "settle");
    PyObject *nothing = settle == NULL ? NULL : PyObject_CallFunctionObjArgs(front->soon, settle, NULL);
    Py_XDECREF(settle);
    Py_XDECREF(nothing);
    front->asked = nothing != NULL;
    if (nothing == NULL)
        PyErr_WriteUnraisable((PyObject *)front); /* the loop is closed; `close` buries what is left */
}

/* The line ends: at the end of this step, or soon. */
static void lose(Line *line)
{
    Front *front = line->front;
    if (front == NULL || line->dying)
        return;
    line->dying = 1;
    if (line->quiet) {
        line->quiet = 0;
        front->quiet--;
    }
    move(&front->dying, &line->at);
    watch(line);
    ask_for_settling(front);
}

/* As `lose`, with the error that the kernel has told. */
static void lose_with(Line *line, int number)
{
    if (line->dying || line->error != NULL)
        return;
    line->error = PyObject_CallFunction(PyExc_OSError, "is", number, strerror(number));
    if (line->error == NULL)
        PyErr_Clear();
    lose(line);
}

/* --- sending --- */

static bool keep(Line *line, const char *data, size_t bytes)
{
    if (line->unsent_bytes == 0)
        line->unsent_from = 0;
    if (line->unsent_from + line->unsent_bytes + bytes > line->unsent_room && line->unsent_from > 0) {
        memmove(line->unsent, line->unsent + line->unsent_from, line->unsent_bytes);
        line->unsent_from = 0;
    }
    if (line->unsent_bytes + bytes > line->unsent_room) {
        size_t room = line->unsent_bytes + bytes + line->unsent_bytes / 2;
        char *more = realloc(line->unsent, room);
        if (more == NULL)
            return false;
        line->unsent = more;
        line->unsent_room = room;
    }
    memcpy(line->unsent + line->unsent_from + line->unsent_bytes, data, bytes);
    line->unsent_bytes += bytes;
    return true;
}

/* Sends what the kernel takes and keeps the rest; 0 or an error's number. Needs no interpreter's lock. */
static int send_some(Line *line, const char *data, size_t bytes)
{
    if (line->unsent_bytes == 0) {
        ssize_t sent;
        do
            sent = send(line->descriptor, data, bytes, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        if (sent < 0 && errno != EAGAIN)
            return errno;
        if (sent > 0) {
            data += sent;
            bytes -= (size_t)sent;
        }
    }
    return bytes == 0 || keep(line, data, bytes) ? 0 : ENOMEM;
}

static void say_end(Line *line)
{
    if (line->end_wanted && !line->end_sent && line->unsent_bytes == 0) {
        line->end_sent = 1;
        shutdown(line->descriptor, SHUT_WR); /* of one that was reset meanwhile the next read tells */
    }
}

static void tell(Line *line, const char *method)
{
    PyObject *nothing = PyObject_CallMethod(line->protocol, method, NULL);
    if (nothing == NULL) {
        PyErr_WriteUnraisable(line->protocol);
        lose(line);
    }
    Py_XDECREF(nothing);
}

static void send_on(Line *line)
{
    while (line->unsent_bytes > 0) {
        ssize_t sent = send(line->descriptor, line->unsent + line->unsent_from, line->unsent_bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0) {
            lose_with(line, errno);
            return;
        }
        line->unsent_from += (size_t)sent;
        line->unsent_bytes -= (size_t)sent;
    }
    if (line->unsent_bytes == 0) {
        free(line->unsent);
        line->unsent = NULL;
        line->unsent_room = line->unsent_from = 0;
        say_end(line);
        if (line->closing)
            lose(line);
    }
    watch(line);
    if (line->told_to_pause && line->unsent_bytes <= LOW_BYTES && !line->dying) {
        line->told_to_pause = 0;
        tell(line, "resume_writing");
    }
}

/* --- the end --- */

static void close_descriptor(Line *line)
{
    if (line->descriptor < 0)
        return;
    if (line->interest != 0 && line->front->epoll >= 0)
        epoll_ctl(line->front->epoll, EPOLL_CTL_DEL, line->descriptor, NULL);
    line->interest = 0;
    close(line->descriptor);
    line->descriptor = -1;
}

/* Tells the protocols of lines that have ended, and lets go of both. */
static void bury(Front *front)
{
    while (front->dying.next != &front->dying) {
        Line *line = line_at(front->dying.next);
        take_out(&line->at);
        PyObject *protocol = line->protocol;
        line->protocol = NULL;
        if (protocol != NULL) {
            PyObject *nothing = PyObject_CallMethod(protocol, "connection_lost", "O",
                                                    line->error == NULL ? Py_None : line->error);
            if (nothing == NULL)
                PyErr_WriteUnraisable(protocol);
            Py_XDECREF(nothing);
            Py_DECREF(protocol);
        }
        close_descriptor(line);
        if (line->stream != NULL)
            openssl.set_shutdown(line->stream->ssl, SENT_AND_RECEIVED_SHUTDOWN); /* as `free` in stream.py */
        Py_CLEAR(line->stream);
        Py_CLEAR(line->gate);
        Py_CLEAR(line->error);
        free(line->unsent);
        line->unsent = NULL;
        line->unsent_bytes = 0;
        line->front = NULL;
        front->open--;
        Py_DECREF((PyObject *)line);
        Py_DECREF((PyObject *)front);
    }
}

/* --- quiet lines --- */

/* Makes the line Python's; steals `what`, which may be NULL for None. */
static void adopt(Line *line, enum how how, PyObject *what)
{
    Front *front = line->front;
    StreamObject *stream = line->stream;
    if (line->quiet) {
        line->quiet = 0;
        front->quiet--;
    }
    move(&front->adopted, &line->at);
    line->stream = NULL;
    PyObject *protocol = PyObject_CallFunction(line->gate->adopt, "OOiO", line, stream == NULL ? Py_None : (PyObject *)stream,
                                               (int)how, what == NULL ? Py_None : what);
    if (protocol == NULL)
        PyErr_WriteUnraisable(line->gate->adopt);
    if (protocol == NULL || line->protocol == NULL)
        lose(line);
    Py_XDECREF(protocol);
    Py_XDECREF((PyObject *)stream);
    Py_XDECREF(what);
}

static PyObject *exception_now(void)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return value;
}

struct heard {
    ssize_t bytes;  /* that came; 0: its end; -1: an error */
    int error;      /* the kernel's, of reading or writing */
    enum step step; /* of the handshake, where one was made */
    int result;
    bool just_over; /* this ended the handshake */
    int plain;      /* bytes that the client said, in `said` */
    int refusal;    /* OpenSSL's result, when it refused to read; else 1 */
    char said[RECORD_BYTES];
};

static int send_outgoing(Line *line)
{
    char room[ROOM_BYTES];
    int taken, error = 0;
    while (error == 0 && (taken = openssl.bio_read(line->stream->out_of, room, ROOM_BYTES)) > 0)
        error = send_some(line, room, (size_t)taken);
    return error;
}

/* Reads, shakes hands and answers: what can be done without Python. New sessions were published by callbacks of OpenSSL's
 * before anything is sent. */
static void go_on(Line *line, struct heard *heard)
{
    StreamObject *stream = line->stream;
    char *room = line->front->room;
    heard->error = heard->plain = 0;
    heard->refusal = 1;
    heard->just_over = false;
    heard->step = IS_OVER;
    do
        heard->bytes = recv(line->descriptor, room, READ_BYTES, 0);
    while (heard->bytes < 0 && errno == EINTR);
    if (heard->bytes <= 0) {
        heard->error = heard->bytes < 0 ? errno : 0;
        return;
    }
    if (!stream->established) {
        heard->step = stream_go_on(stream, room, (size_t)heard->bytes, &heard->result);
        heard->just_over = heard->step == IS_OVER;
    } else if (openssl.bio_write(stream->into, room, (int)heard->bytes) != heard->bytes)
        heard->refusal = -1;
    if (heard->step == WENT_WRONG)
        return;
    if (heard->step == IS_OVER && heard->refusal == 1) {
        openssl.clear_error(); /* what another connection left would be taken for this one's: SSL_get_error(3) */
        int result = openssl.read(stream->ssl, heard->said, RECORD_BYTES);
        int error = result > 0 ? 0 : openssl.get_error(stream->ssl, result);
        if (result > 0)
            heard->plain = result;
        else if (error == ERROR_ZERO_RETURN)
            stream->ended = 1;
        else if (error != ERROR_WANT_READ)
            heard->refusal = result;
    }
    if (heard->plain > 0 || heard->refusal != 1)
        return; /* what is to be said to that is Python's; tickets go with the answer */
    if (stream->ended && !line->gate->at_once) {
        if (openssl.shutdown(stream->ssl) < 0)
            openssl.clear_error();
        stream->closed = 1;
        heard->error = send_outgoing(line);
    } else if (heard->step == GOES_ON || (heard->just_over && openssl.version(stream->ssl) != TLS13))
        heard->error = send_outgoing(line);
}

static PyObject *bytes_that_came(Line *line, const struct heard *heard)
{
    ssize_t bytes = heard->bytes < ROOM_BYTES ? heard->bytes : ROOM_BYTES;
    return PyBytes_FromStringAndSize(line->front->room, (Py_ssize_t)bytes);
}

/* Tells the node of a handshake that has ended well. */
static void count(Line *line)
{
    PyObject *nothing = PyObject_CallFunctionObjArgs(line->gate->done, line->stream, NULL);
    if (nothing == NULL)
        PyErr_WriteUnraisable(line->gate->done);
    Py_XDECREF(nothing);
}

/* Gives Python the error that is set, and what had come. */
static void refuse(Line *line, const struct heard *heard)
{
    PyObject *error = exception_now(), *came = bytes_that_came(line, heard);
    if (heard->just_over)
        count(line);
    PyObject *what = error == NULL || came == NULL ? NULL : PyTuple_Pack(2, error, came);
    Py_XDECREF(error);
    Py_XDECREF(came);
    if (what == NULL) {
        PyErr_Clear();
        lose(line);
    } else
        adopt(line, REFUSED, what);
}

/* The connection is broken: Python counts that, and learns the reason when the line is buried. */
static void reset(Line *line, int error)
{
    adopt(line, RESET, NULL);
    lose_with(line, error);
}

/* What became of it, told to whom it concerns. */
static void conclude(Line *line, struct heard *heard)
{
    if (heard->bytes < 0 && heard->error == EAGAIN)
        return;
    if (heard->bytes < 0) {
        reset(line, heard->error);
    } else if (heard->bytes == 0 && !line->spoke) {
        lose(line); /* it went without a word */
    } else if (heard->bytes == 0) {
        line->at_end = 1;
        adopt(line, ENDED, NULL);
    } else {
        line->spoke = 1;
        if (heard->step == WENT_WRONG && line->stream->paused) {
            adopt(line, SHAKING, NULL);
            return;
        }
        if (heard->step == WENT_WRONG || heard->refusal != 1) {
            stream_refused(line->stream, heard->step == WENT_WRONG ? heard->result : heard->refusal);
            refuse(line, heard);
            return;
        }
        if (heard->just_over) {
            count(line);
            line->when = clock_s();
            move(&line->front->silent, &line->at);
        }
        if (heard->error != 0)
            reset(line, heard->error);
        else if (heard->plain > 0 || (heard->just_over && line->gate->at_once))
            adopt(line, OPEN, PyBytes_FromStringAndSize(heard->said, heard->plain));
        else if (line->unsent_bytes > 0) /* which is rare, and Python's to wait for */
            adopt(line, heard->step == IS_OVER ? OPEN : SHAKING, NULL);
        else if (line->stream->ended)
            lose(line); /* both have said goodbye */
    }
}

static void go_on_quietly(Line *line)
{
    struct heard heard;
    Py_BEGIN_ALLOW_THREADS;
    go_on(line, &heard);
    Py_END_ALLOW_THREADS;
    if (PyErr_Occurred()) { /* of a callback in Python, should one leave it */
        line->spoke = 1;
        refuse(line, &heard);
        openssl.clear_error();
    } else
        conclude(line, &heard);
    if (line->front != NULL)
        watch(line);
}

/* --- lines with a protocol --- */

static void receive(Line *line)
{
    ssize_t bytes;
    do
        bytes = recv(line->descriptor, line->front->room, READ_BYTES, 0);
    while (bytes < 0 && errno == EINTR);
    if (bytes < 0) {
        if (errno != EAGAIN)
            lose_with(line, errno);
        return;
    }
    PyObject *answer = NULL;
    if (bytes > 0)
        answer = PyObject_CallMethod(line->protocol, "data_received", "y#", line->front->room, (Py_ssize_t)bytes);
    else {
        line->at_end = 1;
        answer = PyObject_CallMethod(line->protocol, "eof_received", NULL);
    }
    if (answer == NULL) {
        PyErr_WriteUnraisable(line->protocol);
        lose(line);
        return;
    }
    int stays = bytes > 0 || PyObject_IsTrue(answer);
    Py_DECREF(answer);
    if (!stays && !line->dying) {
        line->closing = 1;
        if (line->unsent_bytes == 0)
            lose(line);
    }
    watch(line);
}

static void turn(Line *line, unsigned events)
{
    unsigned broken = events & (EPOLLERR | EPOLLHUP);
    if (line->front == NULL || line->dying)
        return;
    if (line->quiet) {
        go_on_quietly(line);
        return;
    }
    if ((events & EPOLLOUT || broken) && line->unsent_bytes > 0)
        send_on(line);
    if ((events & EPOLLIN || broken) && line->interest & EPOLLIN && !line->dying && line->protocol != NULL)
        receive(line);
}

/* --- those who come --- */

static PyObject *name_of(const struct sockaddr_storage *address, socklen_t size)
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

static Line *new_line(Front *front, Gate *gate, int descriptor, PyObject *peer)
{
    Line *line = PyObject_GC_New(Line, line_type);
    if (line == NULL)
        return NULL;
    memset((char *)line + offsetof(Line, at), 0, sizeof *line - offsetof(Line, at));
    line->front = front;
    Py_INCREF((PyObject *)front);
    Py_INCREF((PyObject *)gate);
    line->gate = gate;
    line->peer = peer;
    line->descriptor = descriptor;
    line->reading = 1;
    put_last(&front->adopted, &line->at);
    front->open++;
    PyObject_GC_Track(line);
    return line;
}

/* Whether a connection can do without Python; -1 with an error set. */
static int may_be_quiet(Front *front, Gate *gate, PyObject *peer)
{
    if (gate->maker == NULL || front->open >= front->limit || PyTuple_Size(peer) == 0)
        return 0;
    PyObject *known = PyObject_CallFunctionObjArgs(gate->known, PyTuple_GetItem(peer, 0), NULL);
    int yes = known == NULL ? -1 : PyObject_IsTrue(known);
    Py_XDECREF(known);
    return yes;
}

/* Begins with a new connection: most clients have spoken already (see listener.DEFER_S). */
static void welcome(Front *front, Gate *gate, int descriptor, PyObject *peer, double now)
{
    int quiet = may_be_quiet(front, gate, peer);
    Line *line = quiet < 0 ? NULL : new_line(front, gate, descriptor, peer);
    if (line == NULL) {
        PyErr_WriteUnraisable((PyObject *)gate);
        close(descriptor);
        Py_DECREF(peer);
        return;
    }
    Py_INCREF((PyObject *)line); /* Python may close the front */
    if (quiet)
        line->stream = stream_new((MakerObject *)gate->maker);
    if (quiet && line->stream == NULL) {
        PyErr_WriteUnraisable((PyObject *)gate);
        lose(line);
    } else if (quiet) {
        line->quiet = 1;
        front->quiet++;
        line->when = now + gate->timeout_s;
        move(&front->shaking, &line->at);
        go_on_quietly(line);
    } else {
        adopt(line, BORN, NULL);
        if (!line->dying && line->protocol != NULL && line->reading)
            receive(line);
        watch(line);
    }
    Py_DECREF((PyObject *)line);
}

static void accept_some(Front *front, Gate *gate)
{
    double now = clock_s();
    for (int count = 0; count < ACCEPTS_MAX && gate->watched; count++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        int descriptor = accept4(gate->descriptor, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0 && errno == EAGAIN)
            return;
        if (descriptor < 0) {
            front->full |= errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM || errno == EBADF ||
                           errno == EINVAL || errno == ENOTSOCK;
            if (front->full)
                return;
            continue; /* that client is gone (accept(2)) */
        }
        PyObject *peer = name_of(&address, size);
        if (peer == NULL) {
            PyErr_WriteUnraisable((PyObject *)gate);
            close(descriptor);
        } else
            welcome(front, gate, descriptor, peer, now);
    }
}

/* --- the front, as Python has it --- */

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
            lose(line_at(rings[at]->next));
    bury(self);
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
            turn((Line *)one, events[at].events);
        else if (((Gate *)one)->watched)
            accept_some(self, (Gate *)one);
    }
    bury(self);
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
        bury(self);
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
        adopt(line, how, NULL);
        if (line->front != NULL)
            watch(line);
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

static PyType_Spec front_spec = {"meshcache_server._steps.Front", sizeof(Front), 0, Py_TPFLAGS_DEFAULT, front_slots};

/* --- gates, as Python has them --- */

static PyObject *gate_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"descriptor", "adopt", "maker", "known", "done", "timeout_s", "at_once", NULL};
    PyObject *maker = Py_None, *known = Py_None, *adopt_line, *done = Py_None;
    int descriptor, at_once = 0;
    double timeout_s = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iO|OOOdp:Gate", names, &descriptor, &adopt_line, &maker, &known, &done,
                                     &timeout_s, &at_once))
        return NULL;
    if (maker != Py_None && Py_TYPE(maker) != maker_type) {
        PyErr_SetString(PyExc_TypeError, "a maker of streams is wanted");
        return NULL;
    }
    Gate *self = PyObject_New(Gate, type);
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

static void gate_dealloc(PyObject *object)
{
    Gate *self = (Gate *)object;
    PyTypeObject *type = Py_TYPE(object);
    Py_XDECREF(self->maker);
    Py_DECREF(self->known);
    Py_DECREF(self->adopt);
    Py_DECREF(self->done);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyType_Slot gate_slots[] = {{Py_tp_new, gate_new}, {Py_tp_dealloc, gate_dealloc}, {0, NULL}};

static PyType_Spec gate_spec = {"meshcache_server._steps.Gate", sizeof(Gate), 0, Py_TPFLAGS_DEFAULT, gate_slots};

/* --- lines, as Python has them: asyncio's transports --- */

static PyObject *line_write(PyObject *object, PyObject *data)
{
    Line *self = (Line *)object;
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0)
        return NULL;
    if (self->front != NULL && !self->dying && !self->end_wanted && view.len > 0) {
        int error = send_some(self, view.buf, (size_t)view.len);
        if (error != 0)
            lose_with(self, error);
        else if (self->unsent_bytes > 0)
            watch(self);
    }
    PyBuffer_Release(&view);
    if (self->unsent_bytes > HIGH_BYTES && !self->told_to_pause && !self->dying && self->protocol != NULL) {
        self->told_to_pause = 1;
        tell(self, "pause_writing");
    }
    Py_RETURN_NONE;
}

static PyObject *line_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    Line *self = (Line *)object;
    if (self->front != NULL && !self->dying && !self->closing) {
        self->closing = 1;
        if (self->unsent_bytes == 0)
            lose(self);
        watch(self);
    }
    Py_RETURN_NONE;
}

static PyObject *line_abort(PyObject *object, PyObject *unused)
{
    (void)unused;
    Line *self = (Line *)object;
    if (self->front != NULL)
        lose(self);
    Py_RETURN_NONE;
}

static PyObject *line_write_eof(PyObject *object, PyObject *unused)
{
    (void)unused;
    Line *self = (Line *)object;
    if (self->front != NULL && !self->dying) {
        self->end_wanted = 1;
        say_end(self);
    }
    Py_RETURN_NONE;
}

static PyObject *line_read(PyObject *object, char reading)
{
    Line *self = (Line *)object;
    if (self->front != NULL) {
        self->reading = reading;
        watch(self);
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
    return PyBool_FromLong(self->reading && self->front != NULL && !self->closing && !self->dying);
}

static PyObject *line_is_closing(PyObject *object, PyObject *unused)
{
    (void)unused;
    Line *self = (Line *)object;
    return PyBool_FromLong(self->front == NULL || self->closing || self->dying);
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
            return name_of(&address, size);
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
    if (self->front != NULL) {
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

static PyType_Spec line_spec = {
    "meshcache_server._steps.Line", sizeof(Line), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, line_slots,
};

bool add_lines(PyObject *module)
{
    front_type = (PyTypeObject *)PyType_FromSpec(&front_spec);
    gate_type = (PyTypeObject *)PyType_FromSpec(&gate_spec);
    line_type = (PyTypeObject *)PyType_FromSpec(&line_spec);
    return front_type != NULL && gate_type != NULL && line_type != NULL &&
           PyModule_AddObjectRef(module, "Front", (PyObject *)front_type) == 0 &&
           PyModule_AddObjectRef(module, "Gate", (PyObject *)gate_type) == 0 &&
           PyModule_AddObjectRef(module, "Line", (PyObject *)line_type) == 0;
}
