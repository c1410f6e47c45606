/* The ticket keys of one VIP as handshakes use them, and the note in each ticket: the twin of tls/ticket_keys.py. A
 * snapshot that never changes: the core's replace it, and drop it at once when they change. Knows no OpenSSL.
 */
#include "hot.h"

#include <stdlib.h>
#include <string.h>

enum { NOTE_FORM = 1 };

struct ticket_keys *ticket_keys_keep(struct ticket_keys *keys)
{
    if (keys != NULL)
        atomic_fetch_add(&keys->owners, 1);
    return keys;
}

void ticket_keys_drop(struct ticket_keys *keys)
{
    if (keys == NULL || atomic_fetch_sub(&keys->owners, 1) != 1)
        return;
    wipe(keys, sizeof *keys);
    free(keys);
}

const struct ticket_key *ticket_key_named(const struct ticket_keys *keys, const uint8_t *name, double now)
{
    for (int at = 0; at < keys->count; at++)
        if (memcmp(keys->keys[at].name, name, TICKET_NAME_BYTES) == 0)
            return now < keys->keys[at].opens_until ? &keys->keys[at] : NULL;
    return NULL;
}

const struct ticket_key *ticket_key_of_note(const struct ticket_keys *keys, const struct ticket_note *note)
{
    for (int at = 0; at < keys->count; at++)
        if (memcmp(keys->keys[at].name, note->prefix, TICKET_PREFIX_BYTES) == 0)
            return &keys->keys[at];
    return NULL;
}

const struct ticket_key *ticket_key_in_use(const struct ticket_keys *keys, double now)
{
    if (keys->current < 0 || now >= keys->keys[keys->current].encrypts_until)
        return NULL;
    return &keys->keys[keys->current];
}

/* --- notes: ">B4sQQ" behind the lineage, then the maker's name --- */

static uint64_t big(const uint8_t *data)
{
    uint64_t word = 0;
    for (int at = 0; at < 8; at++)
        word = word << 8 | data[at];
    return word;
}

static void put_big(uint8_t *data, uint64_t word)
{
    for (int at = 7; at >= 0; at--, word >>= 8)
        data[at] = (uint8_t)word;
}

/* Whether a name is one that needs no reading of UTF-8: what a configuration allows is plain. */
static bool plain_name(const uint8_t *name, size_t bytes)
{
    for (size_t at = 0; at < bytes; at++)
        if (name[at] <= 0x20 || name[at] >= 0x7f)
            return false;
    return bytes > 0 && bytes <= NODE_BYTES_MAX;
}

bool ticket_note_read(const uint8_t *data, size_t bytes, struct ticket_note *note)
{
    const uint8_t *head = data + LINEAGE_BYTES;
    if (bytes <= LINEAGE_BYTES + TICKET_HEAD_BYTES || head[0] != NOTE_FORM)
        return false;
    note->node = head + TICKET_HEAD_BYTES;
    note->node_bytes = bytes - LINEAGE_BYTES - TICKET_HEAD_BYTES;
    if (!plain_name(note->node, note->node_bytes))
        return false;
    memcpy(note->prefix, head + 1, TICKET_PREFIX_BYTES);
    note->key_age_s = (double)big(head + 5) / 1000;
    note->lineage_s = (double)big(head + 13) / 1000;
    return true;
}

static uint64_t whole_ms(double seconds)
{
    return seconds <= 0 ? 0 : seconds >= 1e15 ? (uint64_t)1e18 : (uint64_t)(seconds * 1000);
}

size_t ticket_note_write(const struct ticket_keys *keys, const struct ticket_key *key, double lineage_s, double now,
                         uint8_t *note)
{
    note[0] = NOTE_FORM;
    memcpy(note + 1, key->name, TICKET_PREFIX_BYTES);
    put_big(note + 5, whole_ms(now - key->born_at));
    put_big(note + 13, whole_ms(lineage_s));
    memcpy(note + TICKET_HEAD_BYTES, keys->node, keys->node_bytes);
    return TICKET_HEAD_BYTES + keys->node_bytes;
}

int ticket_age(double age_s)
{
    return age_s > 24 * 3600 ? 3 : age_s > 6 * 3600 ? 2 : age_s > 3600 ? 1 : 0;
}

/* --- from Python --- */

static bool take_key(struct ticket_key *key, PyObject *row)
{
    const char *name, *aes, *mac;
    Py_ssize_t name_bytes, aes_bytes, mac_bytes;
    if (!PyArg_ParseTuple(row, "y#y#y#dddd:key", &name, &name_bytes, &aes, &aes_bytes, &mac, &mac_bytes, &key->born_at,
                          &key->encrypts_until, &key->opens_until, &key->lifetime_s))
        return false;
    if (name_bytes != TICKET_NAME_BYTES || aes_bytes != TICKET_SECRET_BYTES || mac_bytes != TICKET_SECRET_BYTES) {
        PyErr_SetString(PyExc_ValueError, "a ticket key has a name of 16 bytes and two secrets of 32");
        return false;
    }
    memcpy(key->name, name, sizeof key->name);
    memcpy(key->aes, aes, sizeof key->aes);
    memcpy(key->mac, mac, sizeof key->mac);
    return true;
}

static bool take_keys(struct ticket_keys *keys, PyObject *args)
{
    PyObject *rows;
    const char *node;
    Py_ssize_t node_bytes;
    if (!PyArg_ParseTuple(args, "O!iy#dddd:set_tickets", &PyTuple_Type, &rows, &keys->current, &node, &node_bytes,
                          &keys->lifetime12_s, &keys->lifetime13_s, &keys->lineage_s, &keys->zero))
        return false;
    Py_ssize_t count = PyTuple_Size(rows);
    if (count < 0 || count > TICKET_KEYS_MAX || keys->current >= count || !plain_name((const uint8_t *)node, (size_t)node_bytes)) {
        PyErr_SetString(PyExc_ValueError, "more ticket keys than a ring has, none of that number, or no node's name");
        return false;
    }
    for (Py_ssize_t at = 0; at < count; at++) {
        PyObject *row = PyTuple_GetItem(rows, at);
        if (!PyTuple_Check(row)) {
            PyErr_SetString(PyExc_TypeError, "a ticket key is a tuple");
            return false;
        }
        if (!take_key(&keys->keys[at], row))
            return false;
    }
    keys->count = (int)count;
    memcpy(keys->node, node, (size_t)node_bytes);
    keys->node_bytes = (size_t)node_bytes;
    return true;
}

struct ticket_keys *ticket_keys_from(PyObject *args)
{
    struct ticket_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    atomic_init(&keys->owners, 1);
    if (!take_keys(keys, args)) {
        ticket_keys_drop(keys);
        return NULL;
    }
    return keys;
}

/* --- which nodes made tickets, as tokens have them --- */

uint32_t maker_find(const struct makers *makers, const uint8_t *node, size_t bytes)
{
    size_t at = makers == NULL ? 0 : keyed_hash(node, bytes) % MAKERS_MAX;
    for (int tries = 0; makers != NULL && tries < MAKER_TRIES; tries++, at = (at + 1) % MAKERS_MAX) {
        const struct maker *maker = &makers->all[at];
        if (maker->bytes == bytes && memcmp(maker->node, node, bytes) == 0)
            return maker->low;
    }
    return 0;
}

void maker_remember(struct makers *makers, const uint8_t *node, size_t bytes, uint32_t low)
{
    size_t first = keyed_hash(node, bytes) % MAKERS_MAX;
    struct maker *place = &makers->all[first]; /* where there is no room, the first one makes it */
    for (size_t tries = 0; tries < MAKER_TRIES; tries++) {
        struct maker *maker = &makers->all[(first + tries) % MAKERS_MAX];
        if (maker->bytes == 0 || (maker->bytes == bytes && memcmp(maker->node, node, bytes) == 0)) {
            place = maker;
            break;
        }
    }
    memcpy(place->node, node, bytes);
    place->bytes = (uint8_t)bytes;
    place->low = low;
}
