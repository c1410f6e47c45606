/* Lets a handshake wait for a session that isn't in memory, where whoever drives it can. The twin of tls/pausing.py. */
#include "callbacks.h"

enum { OFFERED_MAX = 4, PSK_BYTES_MAX = 16 * 1024 }; /* tls.pausing.IDS_MAX, _PSK_BYTES_MAX */

/* Ids that a client may resume with; they lie in its ClientHello. */
struct offered {
    const uint8_t *ids[OFFERED_MAX];
    int count;
};

/* The identities of a pre_shared_key extension that are as long as an id. */
static void read_identities(const uint8_t *data, size_t bytes, struct offered *offered)
{
    if (bytes > PSK_BYTES_MAX)
        bytes = PSK_BYTES_MAX;
    if (bytes < 2)
        return;
    size_t end = 2 + (size_t)(data[0] << 8 | data[1]), at = 2;
    if (end > bytes)
        end = bytes;
    while (at + 2 <= end && offered->count < OFFERED_MAX) {
        size_t size = (size_t)(data[at] << 8 | data[at + 1]);
        if (size == ID_BYTES_MAX && at + 2 + size <= end)
            offered->ids[offered->count++] = data + at + 2;
        at += 2 + size + 4;
    }
}

static void read_offered(const struct openssl *openssl, SSL *ssl, struct offered *offered)
{
    const uint8_t *data = NULL;
    size_t bytes = 0;
    if (!offers_tls13(openssl, ssl)) { /* else its session id is for middleboxes (RFC 8446 section 4.1.2) */
        if (openssl->client_hello_get0_session_id(ssl, &data) == ID_BYTES_MAX)
            offered->ids[offered->count++] = data;
    } else if (openssl->client_hello_get0_ext(ssl, EXT_PRE_SHARED_KEY, &data, &bytes)) {
        read_identities(data, bytes, offered);
    }
}

static bool ask_paused(struct attachment *attachment, SSL *ssl, const struct offered *offered)
{
    struct asking asking;
    if (!begin_asking(&asking))
        return false;
    bool paused = false;
    if (attachment->attached != NULL) {
        PyObject *attached = attachment->attached, *ids = PyTuple_New(offered->count), *answer = NULL;
        Py_INCREF(attached);
        bool whole = ids != NULL;
        for (int at = 0; whole && at < offered->count; at++) {
            PyObject *id = PyBytes_FromStringAndSize((const char *)offered->ids[at], ID_BYTES_MAX);
            whole = id != NULL && PyTuple_SetItem(ids, at, id) == 0; /* which takes the id over */
        }
        if (whole)
            answer = PyObject_CallFunction(attachment->callbacks->paused, "KOO", (unsigned long long)(uintptr_t)ssl,
                                           attached, ids);
        paused = answer == Py_True;
        Py_XDECREF(answer);
        Py_XDECREF(ids);
        Py_DECREF(attached);
    }
    end_asking(&asking);
    return paused;
}

bool is_paused(struct attachment *attachment, SSL *ssl)
{
    const struct callbacks *callbacks = attachment->callbacks;
    struct offered offered = {.count = 0};
    if (!attachment->pauses || attachment->mode == MODE_TICKETS || attachment->door == NULL ||
        !door_asks(attachment->door))
        return false;
    uintptr_t state = (uintptr_t)callbacks->openssl->get_ex_data(ssl, callbacks->pause_index);
    if (state == PAUSE_PAUSED)
        return ask_paused(attachment, ssl, &offered);
    if (state != PAUSE_NONE)
        return false;
    read_offered(callbacks->openssl, ssl, &offered);
    for (int at = 0; at < offered.count; at++)
        if (door_holds(attachment->door, offered.ids[at], ID_BYTES_MAX))
            return false;
    int minted = 0;
    for (int at = 0; at < offered.count; at++) /* a stranger's id costs this check, and nothing else */
        if (door_minted(attachment->door, offered.ids[at], ID_BYTES_MAX))
            offered.ids[minted++] = offered.ids[at];
    offered.count = minted;
    return minted > 0 && ask_paused(attachment, ssl, &offered);
}
