/* Files a push that is like those before it straight from its bytes: the twin of core/wire/codec.py, columns.py and
 * core/cache/cache.py for what is plain. Whatever is unusual, or wrong, is left as it was and judged there.
 *
 * The bytes are those that core/wire/push_template.py and core/wire/kinds.py write (RFC 8949, definite lengths), field by
 * field in their order; who may send them, and whether they may stay, the core has asked before. Hostile: every byte.
 */
#include "hot.h"

#include <string.h>

enum {
    BATCH_BYTES_MAX = 64 * 1024,  /* core.wire.messages.BATCH_BYTES_MAX */
    FIELDS = 10,                  /* t i r f l n k z s x; a and b may come too */
};

static const uint64_t SEQ_MAX = 1ull << 53; /* core.values.session.SEQ_MAX */

/* --- reading: `at` never goes beyond `end`, and a reader that fails leaves the answer false for good --- */

struct reader {
    const uint8_t *at, *end;
    bool fine;
};

static bool expect(struct reader *reader, const void *data, size_t bytes)
{
    reader->fine = reader->fine && (size_t)(reader->end - reader->at) >= bytes && memcmp(reader->at, data, bytes) == 0;
    if (reader->fine)
        reader->at += bytes;
    return reader->fine;
}

/* Whether the next field has this key of one letter, which is passed then. */
static bool next_is(struct reader *reader, char key)
{
    if (!reader->fine || reader->end - reader->at < 2 || reader->at[0] != 0x61 || reader->at[1] != (uint8_t)key)
        return false;
    reader->at += 2;
    return true;
}

/* The argument of an item of this major type. */
static uint64_t argument(struct reader *reader, int major)
{
    reader->fine = reader->fine && reader->at < reader->end && *reader->at >> 5 == major && (*reader->at & 31) < 28;
    if (!reader->fine)
        return 0;
    unsigned low = *reader->at++ & 31;
    if (low < 24)
        return low;
    size_t bytes = (size_t)1 << (low - 24);
    reader->fine = (size_t)(reader->end - reader->at) >= bytes;
    uint64_t number = 0;
    for (size_t each = 0; reader->fine && each < bytes; each++)
        number = number << 8 | *reader->at++;
    return reader->fine ? number : 0;
}

static uint64_t number_of(struct reader *reader, char key, uint64_t highest)
{
    reader->fine = next_is(reader, key);
    uint64_t number = argument(reader, 0);
    reader->fine = reader->fine && number <= highest;
    return number;
}

/* The bytes behind the head of a string, which are passed; none when there are fewer. */
static struct span string(struct reader *reader)
{
    uint64_t bytes = argument(reader, 2);
    reader->fine = reader->fine && bytes <= (uint64_t)(reader->end - reader->at);
    struct span span = {reader->at, reader->fine ? (size_t)bytes : 0};
    reader->at += span.bytes;
    return span;
}

static struct span bytes_of(struct reader *reader, char key)
{
    reader->fine = next_is(reader, key);
    return string(reader);
}

/* Seconds: one number for all, or one of four bytes for each. */
struct seconds {
    const uint8_t *column; /* NULL: all are `same` */
    uint32_t same;
};

static struct seconds seconds_of(struct reader *reader, unsigned count)
{
    struct seconds seconds = {NULL, 0};
    if (reader->fine && reader->at < reader->end && *reader->at >> 5 == 2) {
        struct span column = string(reader);
        reader->fine = reader->fine && column.bytes == 4 * (size_t)count;
        seconds.column = column.data;
    } else {
        uint64_t same = argument(reader, 0);
        reader->fine = reader->fine && same <= UINT32_MAX;
        seconds.same = (uint32_t)same;
    }
    return seconds;
}

static uint32_t second_at(const struct seconds *seconds, unsigned row)
{
    if (seconds->column == NULL)
        return seconds->same;
    const uint8_t *at = seconds->column + 4 * (size_t)row;
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* --- a push --- */

/* What a push says; its columns are borrowed from its bytes. */
struct push {
    uint64_t age_us, first, last;
    unsigned count;
    const uint8_t *ids, *widths, *ders;
    struct seconds remaining, elapsed;
};

static unsigned width_at(const struct push *push, unsigned row)
{
    return (unsigned)push->widths[2 * row] << 8 | push->widths[2 * row + 1];
}

static bool read_push(struct push *push, struct span payload, struct span envelope, struct span stream)
{
    struct reader reader = {payload.data, payload.data + payload.bytes, true};
    if (!expect(&reader, envelope.data, envelope.bytes))
        return false;
    unsigned fields = (unsigned)argument(&reader, 5), found = FIELDS;
    if (next_is(&reader, 'a')) {
        push->age_us = argument(&reader, 0);
        reader.fine = reader.fine && push->age_us <= UINT32_MAX;
        found++;
    }
    if (!expect(&reader, stream.data, stream.bytes))
        return false;
    push->first = number_of(&reader, 'f', SEQ_MAX);
    push->last = number_of(&reader, 'l', SEQ_MAX);
    push->count = (unsigned)number_of(&reader, 'n', PUSH_MAX);
    if (!reader.fine || push->count == 0 || push->first == 0 || push->last - push->first != push->count - 1)
        return false;
    struct span ids = bytes_of(&reader, 'k'), widths = bytes_of(&reader, 'z'), ders = bytes_of(&reader, 's');
    if (!reader.fine || ids.bytes != (size_t)ID_BYTES_MAX * push->count || widths.bytes != 2 * (size_t)push->count ||
        ders.bytes > BATCH_BYTES_MAX)
        return false;
    push->ids = ids.data;
    push->widths = widths.data;
    push->ders = ders.data;
    size_t sum = 0;
    for (unsigned row = 0; row < push->count; row++) {
        unsigned width = width_at(push, row);
        if (width == 0 || width > DER_BYTES_MAX)
            return false;
        sum += width;
    }
    reader.fine = sum == ders.bytes && next_is(&reader, 'x');
    push->remaining = seconds_of(&reader, push->count);
    if (next_is(&reader, 'b')) {
        push->elapsed = seconds_of(&reader, push->count);
        found++;
    }
    return reader.fine && reader.at == reader.end && fields == found;
}

/* Whether every entry is within the VIP's limits; lifetimes are cut when they are filed. */
static bool within(const struct push *push, double lineage_s)
{
    for (unsigned row = 0; row < push->count; row++)
        if (second_at(&push->remaining, row) < 1 || second_at(&push->elapsed, row) > lineage_s)
            return false;
    return true;
}

static int32_t clamped(long long seconds)
{
    return (int32_t)(seconds < INT32_MIN ? INT32_MIN : seconds > INT32_MAX ? INT32_MAX : seconds);
}

/* Files every entry, all or none: 1, 0 when an id is there already, or -1 without memory. */
static int file_push(struct table *table, const struct push *push, uint32_t stream, long long second,
                     uint32_t lifetime_s, uint64_t *names)
{
    const uint8_t *der = push->ders;
    for (unsigned row = 0; row < push->count; row++) {
        uint32_t remaining = second_at(&push->remaining, row), elapsed = second_at(&push->elapsed, row);
        struct head head = {.stream = stream, .seq = push->first + row};
        head.expiry = clamped(second + (remaining < lifetime_s ? remaining : lifetime_s));
        head.birth = clamped(second - (long long)elapsed);
        const uint8_t *id = push->ids + (size_t)ID_BYTES_MAX * row;
        int filed = table_file_new(table, id, ID_BYTES_MAX, &head, der, width_at(push, row), &names[row]);
        if (filed <= 0) {
            while (row-- > 0)
                table_take_back(table, push->ids + (size_t)ID_BYTES_MAX * row, ID_BYTES_MAX);
            return filed;
        }
        der += width_at(push, row);
    }
    return 1;
}

int push_file(struct table *table, struct span payload, const struct push_terms *terms, struct filed *filed)
{
    struct push push = {0};
    if (!read_push(&push, payload, terms->envelope, terms->head) || push.first != terms->next_seq ||
        !within(&push, terms->lineage_s))
        return 0;
    filed->last = push.last;
    filed->count = push.count;
    filed->age_us = (uint32_t)push.age_us;
    return file_push(table, &push, terms->stream, terms->second, terms->lifetime_s, filed->names);
}

PyObject *table_file_push(PyObject *self, PyObject *args)
{
    struct push_terms terms = {0};
    const char *data[3];
    Py_ssize_t bytes[3];
    unsigned long stream, lifetime_s;
    unsigned long long next_seq;
    if (!PyArg_ParseTuple(args, "y#y#y#kKLdk:file_push", &data[0], &bytes[0], &data[1], &bytes[1], &data[2], &bytes[2],
                          &stream, &next_seq, &terms.second, &terms.lineage_s, &lifetime_s))
        return NULL;
    struct span payload = {(const uint8_t *)data[0], (size_t)bytes[0]};
    terms.envelope = (struct span){(const uint8_t *)data[1], (size_t)bytes[1]};
    terms.head = (struct span){(const uint8_t *)data[2], (size_t)bytes[2]};
    terms.stream = (uint32_t)stream;
    terms.next_seq = next_seq;
    terms.lifetime_s = lifetime_s > UINT32_MAX ? UINT32_MAX : (uint32_t)lifetime_s;
    struct filed filed;
    int done = push_file(table_of(self), payload, &terms, &filed);
    if (done < 0)
        return PyErr_NoMemory();
    if (done == 0)
        Py_RETURN_NONE;
    return Py_BuildValue("(KIky#)", (unsigned long long)filed.last, filed.count, (unsigned long)filed.age_us,
                         (const char *)filed.names, (Py_ssize_t)(filed.count * sizeof *filed.names));
}
