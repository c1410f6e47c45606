/* Sockets of clients, accepted, read, written and closed without the loop's transports: what acceptor.py asks for.
 *
 * An `Acceptor` is one epoll instance, which the loop watches as one descriptor; its `step` takes what has happened. A
 * `ListeningSocket` knows what new connections there need. A `Line` is one connection. As long as it only shakes hands it
 * is quiet: no object of Python's knows it. When the client says something, or anything is out of the ordinary, the
 * listening socket's `adopt` makes a protocol of asyncio's for it, and the line is that one's transport from then on.
 *
 * Who owns what: the acceptor owns its lines (one reference, from `new_line` until `lines_bury`), they keep it, and epoll
 * its listening sockets; a line owns its listening socket, its stream, its protocol, its descriptor and what waits to be
 * sent. All of it belongs to the loop's thread; the interpreter's lock is let go while a quiet line takes a step, which
 * touches that line and the acceptor's buffer alone. A descriptor is taken out of epoll before it is closed: a forked
 * child may still hold it.
 */
#ifndef MESHCACHE_LINES_H
#define MESHCACHE_LINES_H

#include "steps.h"

#include <stddef.h>
#include <sys/socket.h>

enum {
    EVENTS_MAX = 64,         /* taken by one step; then others have their turn */
    ACCEPTS_MAX = 32,        /* of one listening socket, by one step */
    READ_BYTES = 256 * 1024, /* of one read, as asyncio's */
    HIGH_BYTES = 64 * 1024,  /* that wait to be sent: then the protocol is told to pause; as asyncio's */
    LOW_BYTES = 16 * 1024,   /* and to go on */
};

/* Why a line is given to Python: acceptor.py has the same. */
enum how { BORN, SHAKING, OPEN, REFUSED, ENDED, RESET };
/* What `step` returns: bits. */
enum { SOME_ARE_SILENT = 1, NO_DESCRIPTOR = 2, UNWATCHED = 4 };

typedef struct Line Line;

/* A circular list of lines, with itself as its first and last. */
struct list {
    struct list *next, *previous;
};

typedef struct {
    PyObject_HEAD
    int epoll;               /* -1 once closed */
    PyObject *soon;          /* (callable): the loop calls it soon */
    char *room;              /* READ_BYTES, of one call */
    struct list shaking;     /* quiet lines, first come first */
    struct list silent;      /* quiet lines whose handshake is over, longest silent first */
    struct list adopted;     /* the others */
    struct list dying;       /* lines to be buried */
    Py_ssize_t open;         /* lines in all, until they are buried */
    Py_ssize_t quiet;        /* those of the first two lists */
    Py_ssize_t limit;        /* of `open`: one more is Python's to refuse */
    char stepping, asked;    /* whether `step` runs; whether `soon` was called */
    char full;               /* a listening socket found no descriptor left */
    char deaf;               /* a line couldn't be watched */
} Acceptor;

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
} ListeningSocket;

struct Line {
    PyObject_HEAD
    struct list at; /* first of what isn't Python's: see line_at */
    Acceptor *acceptor;   /* NULL once buried */
    ListeningSocket *listening;
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

/* acceptor.c, listening.c and transports.c have one each. */
extern PyTypeObject *acceptor_type, *listening_type, *line_type;
extern PyType_Spec acceptor_spec, listening_spec, line_spec;

static inline Line *line_at(struct list *list)
{
    return (Line *)((char *)list - offsetof(Line, at));
}

static inline void take_out(struct list *list)
{
    list->previous->next = list->next;
    list->next->previous = list->previous;
}

static inline void put_last(struct list *list, struct list *one)
{
    one->previous = list->previous;
    one->next = list;
    list->previous->next = one;
    list->previous = one;
}

static inline void move(struct list *list, struct list *one)
{
    take_out(one);
    put_last(list, one);
}

/* --- lines.c: what a line waits for, sends and receives, and its end ----------------------------------------------- */

double clock_s(void);

/* Watches what a line waits for now. With nothing to wait for it is taken out: epoll tells of a hang-up otherwise, for
 * ever. */
void line_watch(Line *line);

/* The line ends: at the end of this step, or soon. */
void line_lose(Line *line);

/* The same with the error that the kernel has told. */
void line_lose_with(Line *line, int number);

/* Sends what the kernel takes and keeps the rest; 0 or an error's number. Needs no interpreter's lock. */
int line_send(Line *line, const char *data, size_t bytes);

/* Sends FIN, once it is wanted and nothing waits to be sent. */
void line_say_end(Line *line);

/* Calls a method of the protocol. */
void line_tell(Line *line, const char *method);

/* Gives the protocol what has come. */
void line_receive(Line *line);

/* Does what an event of epoll's asks for. */
void line_turn(Line *line, unsigned events);

/* Makes the line Python's; steals `what`, which may be NULL for None. */
void line_adopt(Line *line, enum how how, PyObject *what);

/* Tells the protocols of lines that have ended, and lets go of both. */
void lines_bury(Acceptor *acceptor);

/* --- quiet_lines.c ------------------------------------------------------------------------------------------------- */

/* Goes on with a quiet line's handshake, or has the line adopted. */
void line_shake_hands(Line *line);

/* --- listening.c -------------------------------------------------------------------------------------------------- */

/* Accepts some of those who wait at a listening socket, and begins with each. */
void listening_accept(Acceptor *acceptor, ListeningSocket *listening);

/* An address as the socket module tells it; owned, and NULL with an error set. */
PyObject *address_of(const struct sockaddr_storage *address, socklen_t size);

#endif
