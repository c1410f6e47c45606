/* Connections that no object of Python's knows yet: handshakes from their first byte to their last.
 */
#include "lines.h"

#include <errno.h>

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
        error = line_send(line, room, (size_t)taken);
    return error;
}

/* Reads, shakes hands and answers: what can be done without Python. New sessions were published by callbacks of OpenSSL's
 * before anything is sent. */
static void go_on(Line *line, struct heard *heard)
{
    StreamObject *stream = line->stream;
    char *room = line->acceptor->room;
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
    if (stream->ended && !line->listening->at_once) {
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
    return PyBytes_FromStringAndSize(line->acceptor->room, (Py_ssize_t)bytes);
}

/* Tells the node of a handshake that has ended well. */
static void count(Line *line)
{
    PyObject *nothing = PyObject_CallFunctionObjArgs(line->listening->done, line->stream, NULL);
    if (nothing == NULL)
        PyErr_WriteUnraisable(line->listening->done);
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
        line_lose(line);
    } else
        line_adopt(line, REFUSED, what);
}

/* The connection is broken: Python counts that, and learns the reason when the line is buried. */
static void reset(Line *line, int error)
{
    line_adopt(line, RESET, NULL);
    line_lose_with(line, error);
}

/* What became of it, told to whom it concerns. */
static void conclude(Line *line, struct heard *heard)
{
    if (heard->bytes < 0 && heard->error == EAGAIN)
        return;
    if (heard->bytes < 0) {
        reset(line, heard->error);
    } else if (heard->bytes == 0 && !line->spoke) {
        line_lose(line); /* it went without a word */
    } else if (heard->bytes == 0) {
        line->at_end = 1;
        line_adopt(line, ENDED, NULL);
    } else {
        line->spoke = 1;
        if (heard->step == WENT_WRONG && line->stream->paused) {
            line_adopt(line, SHAKING, NULL);
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
            move(&line->acceptor->silent, &line->at);
        }
        if (heard->error != 0)
            reset(line, heard->error);
        else if (heard->plain > 0 || (heard->just_over && line->listening->at_once))
            line_adopt(line, OPEN, PyBytes_FromStringAndSize(heard->said, heard->plain));
        else if (line->unsent_bytes > 0) /* which is rare, and Python's to wait for */
            line_adopt(line, heard->step == IS_OVER ? OPEN : SHAKING, NULL);
        else if (line->stream->ended)
            line_lose(line); /* both have said goodbye */
    }
}

void line_shake_hands(Line *line)
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
    if (line->acceptor != NULL)
        line_watch(line);
}
