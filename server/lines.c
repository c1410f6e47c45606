/* One client's connection: what it waits for, what is sent and received, how it becomes Python's, and its end.
 */
#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

double clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* --- what is asked of the kernel --- */

void line_watch(Line *line)
{
    unsigned wanted = 0;
    if (line->descriptor < 0 || line->acceptor->epoll < 0)
        return;
    if (line->reading && !line->at_end && !line->closing && !line->dying)
        wanted |= EPOLLIN;
    if (line->unsent_bytes > 0 && !line->dying)
        wanted |= EPOLLOUT;
    if (wanted == line->interest)
        return;
    struct epoll_event event = {.events = wanted, .data = {.ptr = line}};
    int what = wanted == 0 ? EPOLL_CTL_DEL : line->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(line->acceptor->epoll, what, line->descriptor, &event) == 0 || wanted == 0) {
        line->interest = wanted;
        return;
    }
    line->acceptor->deaf = 1;
    line_lose_with(line, errno); /* it would hear nothing any more, and nobody would know why */
}

static void ask_for_settling(Acceptor *acceptor)
{
    if (acceptor->stepping || acceptor->asked)
        return;
    PyObject *settle = PyObject_GetAttrString((PyObject *)acceptor, "settle");
    PyObject *nothing = settle == NULL ? NULL : PyObject_CallFunctionObjArgs(acceptor->soon, settle, NULL);
    Py_XDECREF(settle);
    Py_XDECREF(nothing);
    acceptor->asked = nothing != NULL;
    if (nothing == NULL)
        PyErr_WriteUnraisable((PyObject *)acceptor); /* the loop is closed; `close` buries what is left */
}

void line_lose(Line *line)
{
    Acceptor *acceptor = line->acceptor;
    if (acceptor == NULL || line->dying)
        return;
    line->dying = 1;
    if (line->quiet) {
        line->quiet = 0;
        acceptor->quiet--;
    }
    move(&acceptor->dying, &line->at);
    line_watch(line);
    ask_for_settling(acceptor);
}

void line_lose_with(Line *line, int number)
{
    if (line->dying || line->error != NULL)
        return;
    line->error = PyObject_CallFunction(PyExc_OSError, "is", number, strerror(number));
    if (line->error == NULL)
        PyErr_Clear();
    line_lose(line);
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

int line_send(Line *line, const char *data, size_t bytes)
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

void line_say_end(Line *line)
{
    if (line->end_wanted && !line->end_sent && line->unsent_bytes == 0) {
        line->end_sent = 1;
        shutdown(line->descriptor, SHUT_WR); /* of one that was reset meanwhile the next read tells */
    }
}

void line_tell(Line *line, const char *method)
{
    PyObject *nothing = PyObject_CallMethod(line->protocol, method, NULL);
    if (nothing == NULL) {
        PyErr_WriteUnraisable(line->protocol);
        line_lose(line);
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
            line_lose_with(line, errno);
            return;
        }
        line->unsent_from += (size_t)sent;
        line->unsent_bytes -= (size_t)sent;
    }
    if (line->unsent_bytes == 0) {
        free(line->unsent);
        line->unsent = NULL;
        line->unsent_room = line->unsent_from = 0;
        line_say_end(line);
        if (line->closing)
            line_lose(line);
    }
    line_watch(line);
    if (line->told_to_pause && line->unsent_bytes <= LOW_BYTES && !line->dying) {
        line->told_to_pause = 0;
        line_tell(line, "resume_writing");
    }
}

/* --- the end --- */

static void close_descriptor(Line *line)
{
    if (line->descriptor < 0)
        return;
    if (line->interest != 0 && line->acceptor->epoll >= 0)
        epoll_ctl(line->acceptor->epoll, EPOLL_CTL_DEL, line->descriptor, NULL);
    line->interest = 0;
    close(line->descriptor);
    line->descriptor = -1;
}

void lines_bury(Acceptor *acceptor)
{
    while (acceptor->dying.next != &acceptor->dying) {
        Line *line = line_at(acceptor->dying.next);
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
        Py_CLEAR(line->listening);
        Py_CLEAR(line->error);
        free(line->unsent);
        line->unsent = NULL;
        line->unsent_bytes = 0;
        line->acceptor = NULL;
        acceptor->open--;
        Py_DECREF((PyObject *)line);
        Py_DECREF((PyObject *)acceptor);
    }
}

/* --- lines with a protocol --- */

void line_adopt(Line *line, enum how how, PyObject *what)
{
    Acceptor *acceptor = line->acceptor;
    StreamObject *stream = line->stream;
    if (line->quiet) {
        line->quiet = 0;
        acceptor->quiet--;
    }
    move(&acceptor->adopted, &line->at);
    line->stream = NULL;
    PyObject *protocol = PyObject_CallFunction(line->listening->adopt, "OOiO", line, stream == NULL ? Py_None : (PyObject *)stream,
                                               (int)how, what == NULL ? Py_None : what);
    if (protocol == NULL)
        PyErr_WriteUnraisable(line->listening->adopt);
    if (protocol == NULL || line->protocol == NULL)
        line_lose(line);
    Py_XDECREF(protocol);
    Py_XDECREF((PyObject *)stream);
    Py_XDECREF(what);
}

void line_receive(Line *line)
{
    ssize_t bytes;
    do
        bytes = recv(line->descriptor, line->acceptor->room, READ_BYTES, 0);
    while (bytes < 0 && errno == EINTR);
    if (bytes < 0) {
        if (errno != EAGAIN)
            line_lose_with(line, errno);
        return;
    }
    PyObject *answer = NULL;
    if (bytes > 0)
        answer = PyObject_CallMethod(line->protocol, "data_received", "y#", line->acceptor->room, (Py_ssize_t)bytes);
    else {
        line->at_end = 1;
        answer = PyObject_CallMethod(line->protocol, "eof_received", NULL);
    }
    if (answer == NULL) {
        PyErr_WriteUnraisable(line->protocol);
        line_lose(line);
        return;
    }
    int stays = bytes > 0 || PyObject_IsTrue(answer);
    Py_DECREF(answer);
    if (!stays && !line->dying) {
        line->closing = 1;
        if (line->unsent_bytes == 0)
            line_lose(line);
    }
    line_watch(line);
}

void line_turn(Line *line, unsigned events)
{
    unsigned broken = events & (EPOLLERR | EPOLLHUP);
    if (line->acceptor == NULL || line->dying)
        return;
    if (line->quiet) {
        line_shake_hands(line);
        return;
    }
    if ((events & EPOLLOUT || broken) && line->unsent_bytes > 0)
        send_on(line);
    if ((events & EPOLLIN || broken) && line->interest & EPOLLIN && !line->dying && line->protocol != NULL)
        line_receive(line);
}
