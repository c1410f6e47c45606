/* What the files of this module share: OpenSSL's functions, and the streams of connections.
 *
 * `steps.c` has the streams; `lines.h` says which files have the sockets they are spoken over.
 */
#ifndef MESHCACHE_STEPS_H
#define MESHCACHE_STEPS_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

typedef void SSL;
typedef void SSL_CTX;
typedef void BIO;

struct openssl {
    SSL *(*new)(SSL_CTX *);
    void (*free)(SSL *);
    void (*set_accept_state)(SSL *);
    long (*set_mode)(SSL *, long);
    void (*set_bio)(SSL *, BIO *, BIO *);
    int (*do_handshake)(SSL *);
    int (*get_error)(const SSL *, int);
    int (*read)(SSL *, void *, int);
    int (*write)(SSL *, const void *, int);
    int (*shutdown)(SSL *);
    void (*set_shutdown)(SSL *, int);
    int (*version)(const SSL *);
    int (*session_reused)(const SSL *);
    BIO *(*bio_new)(const void *);
    const void *(*bio_s_mem)(void);
    int (*bio_read)(BIO *, void *, int);
    int (*bio_write)(BIO *, const void *, int);
    int (*bio_free)(BIO *);
    void (*clear_error)(void);
};

extern struct openssl openssl;

enum {
    RECORD_BYTES = 16 * 1024, /* as in stream.py, all three */
    SLICE_BYTES = 3 * RECORD_BYTES,
    ROOM_BYTES = 64 * 1024,
};

/* Of <openssl/ssl.h>, which keeps them for ever. */
enum { ERROR_WANT_READ = 2, ERROR_ZERO_RETURN = 6, ERROR_WANT_CLIENT_HELLO = 11 };
enum { SENT_AND_RECEIVED_SHUTDOWN = 3, MODE_AUTO_RETRY = 4, TLS13 = 0x0304 };

/* Makes the streams of one context. */
typedef struct {
    PyObject_HEAD
    SSL_CTX *ctx;      /* the context's, which is kept */
    PyObject *context; /* pyOpenSSL's */
    PyObject *wrap;    /* (context, ssl, into, out_of, connection or None) -> the connection; that one owns the SSL then */
    PyObject *raise;   /* (connection, result): raises what OpenSSL's error queue says */
    char listed;       /* each connection has pyOpenSSL's object from the start */
} MakerObject;

typedef struct {
    PyObject_HEAD
    SSL *ssl;           /* owned by `connection` where there is one */
    BIO *into, *out_of; /* the SSL's */
    MakerObject *maker;
    PyObject *connection, *on_free; /* or NULL */
    double mark;
    char slim, established, ended, closed, paused;
} StreamObject;

extern PyTypeObject *maker_type;

/* A new stream; NULL with an error set. */
StreamObject *stream_new(MakerObject *maker);

/* What became of a step of a handshake; WENT_WRONG is also what a paused one says. */
enum step { WENT_WRONG, GOES_ON, IS_OVER };

/* Goes on with a handshake, given encrypted bytes. Needs no interpreter's lock, but a look at PyErr_Occurred() with it
 * afterwards: a callback in Python may have left an exception. `result` is for `stream_refused`. */
enum step stream_go_on(StreamObject *self, const char *data, size_t bytes, int *result);

/* Sets the exception of what OpenSSL found wrong; always NULL. */
PyObject *stream_refused(StreamObject *self, int result);

/* Adds the types of lines.h to the module; false with an error set. */
bool add_lines(PyObject *module);

#endif
