/* Files what handshakes made and writes it as a push with one call: the twin of core/wire/push_template.py and of
 * core/replication/publisher.py for what is plain, and pushes.c turned round. Whatever is unusual waits at the door.
 *
 * The bytes are those of PushTemplate (RFC 8949, definite lengths); what they begin with Python gives. Who may have them,
 * and when, the core has asked before; the caller holds the core's lock, so that nobody else takes what waits.
 */
#include "hot.h"

#include <math.h>
#include <string.h>

enum {
    BATCH_MAX = 64,              /* core.wire.messages.BATCH_SESSIONS_MAX */
    BATCH_BYTES_MAX = 64 * 1024, /* core.wire.messages.BATCH_BYTES_MAX */
    FIELDS = 10, /* t i r f l n k z s x; a and b may come too */
    BYTE_STRING = 2, MAP = 5, /* major types */
    ONE_BYTE = 24, TWO_BYTES = 25, FOUR_BYTES = 26, EIGHT_BYTES = 27, /* of the argument that follows */
};

/* A batch in columns, as it travels. */
struct draft {
    unsigned count;
    uint64_t first, age_us, remaining[BATCH_MAX], elapsed[BATCH_MAX];
    uint8_t widths[2 * BATCH_MAX], ids[ID_BYTES_MAX * BATCH_MAX], ders[BATCH_BYTES_MAX];
    size_t ders_bytes;
};

/* Under the interpreter's lock, and wiped after each use: 72 KiB are too much for a stack. */
static struct draft draft;

/* --- writing: with no place to write to, bytes are counted only --- */

struct writer {
    uint8_t *at;
    size_t bytes;
};

static void put(struct writer *writer, const void *data, size_t bytes)
{
    if (writer->at != NULL)
        memcpy(writer->at + writer->bytes, data, bytes);
    writer->bytes += bytes;
}

/* The head of an item, as short as it can be. */
static void put_head(struct writer *writer, int major, uint64_t argument)
{
    int low = argument < ONE_BYTE ? (int)argument : argument <= UINT8_MAX ? ONE_BYTE
              : argument <= UINT16_MAX ? TWO_BYTES : argument <= UINT32_MAX ? FOUR_BYTES : EIGHT_BYTES;
    uint8_t head[9] = {(uint8_t)(major << 5 | low)};
    unsigned bytes = low < ONE_BYTE ? 0 : 1u << (low - ONE_BYTE);
    for (unsigned at = bytes; at > 0; at--, argument >>= 8)
        head[at] = (uint8_t)argument;
    put(writer, head, 1 + bytes);
}

static void put_key(struct writer *writer, char letter)
{
    uint8_t key[2] = {0x61, (uint8_t)letter};
    put(writer, key, sizeof key);
}

static void put_number(struct writer *writer, char key, uint64_t number)
{
    put_key(writer, key);
    put_head(writer, 0, number);
}

static void put_bytes(struct writer *writer, char key, const void *data, size_t bytes)
{
    put_key(writer, key);
    put_head(writer, BYTE_STRING, bytes);
    put(writer, data, bytes);
}

static uint32_t at_most(uint64_t seconds)
{
    return seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
}

/* One number where all are alike, else four bytes for each. */
static void put_seconds(struct writer *writer, char key, const uint64_t *seconds, unsigned count)
{
    bool same = true;
    for (unsigned row = 1; row < count; row++)
        same = same && seconds[row] == seconds[0];
    if (same) {
        put_number(writer, key, at_most(seconds[0]));
        return;
    }
    put_key(writer, key);
    put_head(writer, BYTE_STRING, 4 * (uint64_t)count);
    for (unsigned row = 0; row < count; row++) {
        uint32_t each = at_most(seconds[row]);
        uint8_t bytes[4] = {(uint8_t)(each >> 24), (uint8_t)(each >> 16), (uint8_t)(each >> 8), (uint8_t)each};
        put(writer, bytes, sizeof bytes);
    }
}

struct piece {
    const char *data;
    Py_ssize_t bytes;
};

static void write_push(struct writer *writer, struct piece envelope, struct piece head)
{
    bool some = false;
    for (unsigned row = 0; row < draft.count; row++)
        some = some || draft.elapsed[row] != 0;
    put(writer, envelope.data, (size_t)envelope.bytes);
    put_head(writer, MAP, (uint64_t)(FIELDS + (draft.age_us != 0) + some));
    if (draft.age_us != 0)
        put_number(writer, 'a', draft.age_us);
    put(writer, head.data, (size_t)head.bytes);
    put_number(writer, 'f', draft.first);
    put_number(writer, 'l', draft.first + draft.count - 1);
    put_number(writer, 'n', draft.count);
    put_bytes(writer, 'k', draft.ids, ID_BYTES_MAX * (size_t)draft.count);
    put_bytes(writer, 'z', draft.widths, 2 * (size_t)draft.count);
    put_bytes(writer, 's', draft.ders, draft.ders_bytes);
    put_seconds(writer, 'x', draft.remaining, draft.count);
    if (some)
        put_seconds(writer, 'b', draft.elapsed, draft.count);
}

/* The push that the draft is, which is wiped; NULL with an error set. */
static PyObject *written(struct piece envelope, struct piece head)
{
    struct writer writer = {NULL, 0};
    write_push(&writer, envelope, head);
    PyObject *payload = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)writer.bytes);
    if (payload != NULL) {
        writer = (struct writer){(uint8_t *)PyBytes_AsString(payload), 0};
        write_push(&writer, envelope, head);
    }
    wipe(draft.ids, ID_BYTES_MAX * (size_t)draft.count);
    wipe(draft.ders, draft.ders_bytes);
    return payload;
}

/* --- a batch --- */

/* Of a time that may be negative, or longer than any. */
static uint64_t whole(double time)
{
    return !(time >= 1) ? 0 : time >= 0x1p62 ? 1ull << 62 : (uint64_t)time;
}

/* Adds a session whose DER, of so many bytes, is at the end of those that are there. Times are by the node's clock; none
 * ends after `until`. */
static void add(const struct made *made, size_t der_bytes, double now, double ahead, double until)
{
    unsigned row = draft.count++;
    double expires_at = made->expires_at + ahead, made_at = made->made_at + ahead;
    memcpy(draft.ids + ID_BYTES_MAX * (size_t)row, made->id, ID_BYTES_MAX);
    draft.widths[2 * row] = (uint8_t)(der_bytes >> 8);
    draft.widths[2 * row + 1] = (uint8_t)der_bytes;
    draft.ders_bytes += der_bytes;
    draft.remaining[row] = whole((expires_at < until ? expires_at : until) - now);
    draft.elapsed[row] = whole(rint(now - (made->born_at + ahead))); /* to the nearest even, as Python's round */
    if (row == 0) {
        double age_us = (now - (made_at < now ? made_at : now)) * 1e6;
        draft.age_us = at_most(whole(age_us));
    }
}

/* Room for the next DER, beside what ids take: core.replication.publisher counts both. */
static size_t room_left(void)
{
    size_t taken = draft.ders_bytes + ID_BYTES_MAX * (size_t)(draft.count + 1);
    return taken < BATCH_BYTES_MAX ? BATCH_BYTES_MAX - taken : 0;
}

static void begin(uint64_t first)
{
    draft.count = 0;
    draft.first = first;
    draft.ders_bytes = 0;
}

PyObject *door_push(PyObject *self, PyObject *args)
{
    struct piece envelope, head;
    unsigned long stream;
    unsigned long long first;
    double now, ahead, until, born_after;
    if (!PyArg_ParseTuple(args, "y#y#kKdddd:push", &envelope.data, &envelope.bytes, &head.data, &head.bytes, &stream,
                          &first, &now, &ahead, &until, &born_after))
        return NULL;
    struct door *door = door_of(self);
    struct made rows[BATCH_MAX];
    struct filing filing;
    unsigned waiting = door_waiting(door, rows, BATCH_MAX, &filing);
    uint64_t names[BATCH_MAX];
    begin(first);
    while (filing.stream == stream && draft.count < waiting) {
        const struct made *made = &rows[draft.count];
        if (made->binding != filing.binding || made->id_bytes != ID_BYTES_MAX || made->expires_at + ahead <= now ||
            made->born_at + ahead <= born_after)
            break;
        size_t der_bytes = table_file_made(filing.own, made->id, ID_BYTES_MAX, filing.stream, first + draft.count,
                                           &names[draft.count], draft.ders + draft.ders_bytes, room_left());
        if (der_bytes == 0)
            break;
        add(made, der_bytes, now, ahead, until);
    }
    unsigned count = draft.count;
    door_taken(door, count);
    PyObject *payload = count ? written(envelope, head) : NULL, *both = NULL;
    if (payload != NULL)
        both = Py_BuildValue("(Oy#)", payload, (const char *)names, (Py_ssize_t)(count * sizeof *names));
    Py_XDECREF(payload);
    for (unsigned row = 0; both == NULL && row < count; row++) /* no memory: the core never hears of them */
        table_take_back(filing.own, rows[row].id, ID_BYTES_MAX);
    wipe(rows, waiting * sizeof *rows);
    table_drop(filing.own);
    if (count == 0)
        Py_RETURN_NONE;
    return both;
}

PyObject *own_push_of(PyObject *module, PyObject *args)
{
    (void)module;
    struct piece envelope, head;
    unsigned long long first;
    double now;
    PyObject *rows;
    if (!PyArg_ParseTuple(args, "y#y#KdO!:push_of", &envelope.data, &envelope.bytes, &head.data, &head.bytes, &first, &now,
                          &PyList_Type, &rows))
        return NULL;
    begin(first);
    for (Py_ssize_t at = 0; at < PyList_Size(rows) && at < BATCH_MAX; at++) {
        const char *id, *der;
        Py_ssize_t id_bytes, der_bytes;
        struct made made = {.id_bytes = ID_BYTES_MAX};
        if (!PyArg_ParseTuple(PyList_GetItem(rows, at), "y#y#ddd", &id, &id_bytes, &der, &der_bytes, &made.made_at,
                              &made.expires_at, &made.born_at))
            return NULL;
        if (id_bytes != ID_BYTES_MAX || (size_t)der_bytes > room_left()) {
            PyErr_SetString(PyExc_ValueError, "no usual session, or no room for it");
            return NULL;
        }
        memcpy(made.id, id, ID_BYTES_MAX);
        memcpy(draft.ders + draft.ders_bytes, der, (size_t)der_bytes);
        add(&made, (size_t)der_bytes, now, 0, made.expires_at);
    }
    return written(envelope, head);
}
