/* Sessions on their way to the tiers: written as records and sealed, a batch at a time and without the interpreter. The twin of
 * `write_record` in core/wire/tier_record.py and of `Sealer` in tiers/sealing.py, whose forms these are, byte for byte.
 *
 * Records are secrets and belong to their TierRecords, which wipes them; keys belong to their TierSealer, which wipes
 * them as well. What is sealed is Python's, and needs no care. OpenSSL's public functions are called by the addresses
 * that tls/libssl.py finds; what they make is freed in the call that made it.
 */
#include "hot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <sys/random.h>
#endif

enum {
    RECORD_HEAD_BYTES = 25,    /* core.wire.tier_record._HEAD, "<IIIQBBBH" */
    NOT_INSIDE = 255,          /* core.wire.tier_record._NOT_INSIDE */
    ORIGIN_BYTES_MAX = 4608,   /* core.wire.tier_record.ORIGIN_BYTES_MAX */
    RECORD_BYTES_MAX = RECORD_HEAD_BYTES + ORIGIN_BYTES_MAX + ID_BYTES_MAX + DER_BYTES_MAX,
    RECORDS_MAX = 65536,       /* core.replication.tiering.WAITING_MAX: no batch is larger */
    PLACES = 256,              /* keys made of one secret, by the first byte of the place: tiers.sealing._Key */
    KEY_BYTES = 32,            /* AES-256 */
    KEY_ID_BYTES = 4,          /* tiers.sealing._KEY_ID_BYTES, and of a border's tag */
    NONCE_BYTES = 12,
    TAG_BYTES = 16,
    SEALED_HEAD_BYTES = 1 + 2 * KEY_ID_BYTES,
    SEALED_MORE_BYTES = SEALED_HEAD_BYTES + NONCE_BYTES + TAG_BYTES, /* tiers.sealing.OVERHEAD_BYTES */
    VERSION = 1,               /* tiers.sealing.VERSION */
    BASE_BYTES_MAX = 1024,     /* of what is hashed before an id: names of 64 bytes and a digest */
    DIGEST_BYTES = 32,
    GET_TAG = 0x10,            /* EVP_CTRL_AEAD_GET_TAG of openssl/evp.h */
};

/* --- records --- */

struct record {
    double lasts_s;
    uint32_t start, bytes; /* in `data` */
    uint8_t id_bytes, id[ID_BYTES_MAX];
};

typedef struct {
    PyObject_HEAD
    struct record *rows; /* owned, as `data` is */
    uint8_t *data;
    size_t count, row_room, bytes, room;
    bool busy; /* they are being sealed, without the interpreter */
} RecordsObject;

PyTypeObject *tier_records_type;

static void forget_records(RecordsObject *records)
{
    if (records->rows != NULL)
        wipe(records->rows, records->count * sizeof *records->rows);
    if (records->data != NULL)
        wipe(records->data, records->bytes);
    free(records->rows);
    free(records->data);
    records->rows = NULL;
    records->data = NULL;
    records->count = records->row_room = records->bytes = records->room = 0;
}

/* Makes room for one more record of so many bytes; what was outgrown is wiped, which realloc wouldn't do. */
static bool make_room(RecordsObject *records, size_t bytes)
{
    if (records->count >= RECORDS_MAX || bytes > RECORD_BYTES_MAX)
        return false;
    if (records->count == records->row_room) {
        size_t room = records->row_room ? 2 * records->row_room : 64;
        struct record *rows = malloc(room * sizeof *rows);
        if (rows == NULL)
            return false;
        if (records->rows != NULL) {
            memcpy(rows, records->rows, records->count * sizeof *rows);
            wipe(records->rows, records->count * sizeof *rows);
        }
        free(records->rows);
        records->rows = rows;
        records->row_room = room;
    }
    if (records->bytes + bytes > records->room) {
        size_t room = 2 * records->room + bytes + 16384;
        uint8_t *data = malloc(room);
        if (data == NULL)
            return false;
        if (records->data != NULL) {
            memcpy(data, records->data, records->bytes);
            wipe(records->data, records->bytes);
        }
        free(records->data);
        records->data = data;
        records->room = room;
    }
    return true;
}

static bool is_busy(PyObject *self)
{
    if (((const RecordsObject *)self)->busy)
        PyErr_SetString(PyExc_RuntimeError, "another thread seals them");
    return ((const RecordsObject *)self)->busy;
}

/* Where to write a record of so many bytes; NULL without memory, or when it is one too many. */
static uint8_t *new_record(RecordsObject *records, const uint8_t *id, size_t id_bytes, double lasts_s, size_t bytes)
{
    if (!make_room(records, bytes))
        return NULL;
    struct record *row = &records->rows[records->count++];
    row->lasts_s = lasts_s;
    row->start = (uint32_t)records->bytes;
    row->bytes = (uint32_t)bytes;
    row->id_bytes = (uint8_t)id_bytes;
    memcpy(row->id, id, id_bytes);
    records->bytes += bytes;
    return records->data + row->start;
}

static uint8_t *put32(uint8_t *at, uint32_t number)
{
    for (int each = 0; each < 4; each++)
        *at++ = (uint8_t)(number >> (8 * each));
    return at;
}

static uint32_t unix_second(double moment)
{
    double second = floor(moment);
    return second <= 0 ? 0 : second >= (double)UINT32_MAX ? UINT32_MAX : (uint32_t)second;
}

/* What is the same for all sessions of one stream, at one moment. */
struct stream {
    uint32_t index;
    const uint8_t *origin;
    size_t origin_bytes;
    double epoch, now, offset; /* when seconds in heads count from; wall time minus the clock that `now` is on */
    double lifetime_s, lasts_min_s;
    bool certified; /* whether sessions under a client certificate may leave */
};

/* Where an id is in its DER, or NOT_INSIDE. */
static uint8_t place_of_id(const uint8_t *id, size_t id_bytes, const uint8_t *der, size_t der_bytes)
{
    size_t ends = NOT_INSIDE - 1 + id_bytes;
    const uint8_t *at = memmem(der, der_bytes < ends ? der_bytes : ends, id, id_bytes);
    return at == NULL ? NOT_INSIDE : (uint8_t)(at - der);
}

/* Adds what `packed` holds, if it is to leave: core.replication.tiering.Tiering._add. False without memory. */
static bool add_packed(RecordsObject *records, const struct stream *stream, const uint8_t *id, size_t id_bytes,
                       const uint8_t *packed, size_t packed_bytes)
{
    struct head head = head_of(packed);
    double ends = stream->epoch + head.expiry, born = stream->epoch + head.birth, lasts_s = ends - stream->now;
    if (head.stream != stream->index || head.seq == 0 || lasts_s < stream->lasts_min_s ||
        (head.certified && !stream->certified))
        return true;
    const uint8_t *der = packed + HEAD_BYTES;
    size_t der_bytes = packed_bytes - HEAD_BYTES;
    uint8_t place = place_of_id(id, id_bytes, der, der_bytes);
    size_t outside = place == NOT_INSIDE ? id_bytes : 0;
    uint8_t *at = new_record(records, id, id_bytes, lasts_s,
                             RECORD_HEAD_BYTES + stream->origin_bytes + outside + der_bytes);
    if (at == NULL)
        return false;
    double made = ends - stream->lifetime_s;
    at = put32(at, unix_second(ends + stream->offset));
    at = put32(at, unix_second(born + stream->offset));
    at = put32(at, unix_second((made > born ? made : born) + stream->offset));
    at = put32(at, (uint32_t)head.seq);
    at = put32(at, (uint32_t)(head.seq >> 32));
    *at++ = head.certified;
    *at++ = place;
    *at++ = (uint8_t)id_bytes;
    *at++ = (uint8_t)stream->origin_bytes;
    *at++ = (uint8_t)(stream->origin_bytes >> 8);
    memcpy(at, stream->origin, stream->origin_bytes);
    at += stream->origin_bytes;
    memcpy(at, id, outside);
    memcpy(at + outside, der, der_bytes);
    return true;
}

/* What Python tells of a stream, beside the numbers that go where they are. */
struct told {
    unsigned long index;
    const char *origin;
    Py_ssize_t origin_bytes;
    int certified;
};

static bool take_told(struct stream *stream, const struct told *told)
{
    if (told->origin_bytes > ORIGIN_BYTES_MAX) {
        PyErr_SetString(PyExc_ValueError, "that is no origin");
        return false;
    }
    stream->index = (uint32_t)told->index;
    stream->origin = (const uint8_t *)told->origin;
    stream->origin_bytes = (size_t)told->origin_bytes;
    stream->certified = told->certified != 0;
    return true;
}

/* Adds those of these ids that are here and are to leave. */
static PyObject *records_add_from(PyObject *self, PyObject *args)
{
    PyObject *table, *ids;
    struct stream stream;
    struct told told;
    if (!PyArg_ParseTuple(args, "O!Oky#dddddp:add_from", table_type, &table, &ids, &told.index, &told.origin,
                          &told.origin_bytes, &stream.epoch, &stream.now, &stream.offset, &stream.lifetime_s,
                          &stream.lasts_min_s, &told.certified) ||
        is_busy(self) || !take_told(&stream, &told))
        return NULL;
    uint8_t packed[HEAD_BYTES + DER_BYTES_MAX];
    size_t packed_bytes = 0, longest = 0;
    Py_ssize_t count = PySequence_Size(ids);
    bool fine = count >= 0;
    for (Py_ssize_t at = 0; fine && at < count; at++) {
        PyObject *item = PySequence_GetItem(ids, at);
        char *id;
        Py_ssize_t id_bytes;
        fine = item != NULL && PyBytes_AsStringAndSize(item, &id, &id_bytes) == 0;
        if (fine && id_bytes <= ID_BYTES_MAX) {
            packed_bytes = table_read(table_of(table), (const uint8_t *)id, (size_t)id_bytes, packed);
            longest = packed_bytes > longest ? packed_bytes : longest;
            if (packed_bytes && !add_packed((RecordsObject *)self, &stream, (const uint8_t *)id, (size_t)id_bytes, packed,
                                            packed_bytes)) {
                PyErr_NoMemory();
                fine = false;
            }
        }
        Py_XDECREF(item);
    }
    wipe(packed, longest);
    if (!fine)
        return NULL;
    Py_RETURN_NONE;
}

/* The same for entries that a push brought, by their names and their numbers, which follow on one another. */
static PyObject *records_add_named(PyObject *self, PyObject *args)
{
    PyObject *table;
    struct stream stream;
    struct told told;
    const char *names;
    Py_ssize_t bytes;
    unsigned long long first;
    if (!PyArg_ParseTuple(args, "O!y#Kky#dddddp:add_named", table_type, &table, &names, &bytes, &first, &told.index,
                          &told.origin, &told.origin_bytes, &stream.epoch, &stream.now, &stream.offset,
                          &stream.lifetime_s, &stream.lasts_min_s, &told.certified) ||
        is_busy(self) || !take_told(&stream, &told))
        return NULL;
    uint8_t id[ID_BYTES_MAX], packed[HEAD_BYTES + DER_BYTES_MAX];
    size_t id_bytes = 0, longest = 0, count = (size_t)bytes / sizeof(uint64_t);
    bool fine = true;
    for (size_t at = 0; fine && at < count; at++) {
        uint64_t name;
        memcpy(&name, names + at * sizeof name, sizeof name);
        size_t found = table_read_named(table_of(table), name, stream.index, first + at, id, &id_bytes, packed);
        longest = found > longest ? found : longest;
        fine = found == 0 || add_packed((RecordsObject *)self, &stream, id, id_bytes, packed, found);
    }
    wipe(packed, longest);
    wipe(id, sizeof id);
    if (!fine)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* Adds a record that Python wrote. */
static PyObject *records_add(PyObject *self, PyObject *args)
{
    const char *id, *record;
    Py_ssize_t id_bytes, bytes;
    double lasts_s;
    if (!PyArg_ParseTuple(args, "y#y#d:add", &id, &id_bytes, &record, &bytes, &lasts_s) || is_busy(self))
        return NULL;
    if (id_bytes > ID_BYTES_MAX || bytes > RECORD_BYTES_MAX) {
        PyErr_SetString(PyExc_ValueError, "that is no session");
        return NULL;
    }
    uint8_t *at = new_record((RecordsObject *)self, (const uint8_t *)id, (size_t)id_bytes, lasts_s, (size_t)bytes);
    if (at == NULL)
        return PyErr_NoMemory();
    memcpy(at, record, (size_t)bytes);
    Py_RETURN_NONE;
}

/* Copies of all: what the tests compare with Python's. */
static PyObject *records_rows(PyObject *self, PyObject *unused)
{
    (void)unused;
    RecordsObject *records = (RecordsObject *)self;
    PyObject *list = PyList_New(0);
    for (size_t at = 0; list != NULL && at < records->count; at++) {
        struct record *row = &records->rows[at];
        PyObject *item = Py_BuildValue("(y#y#d)", row->id, (Py_ssize_t)row->id_bytes, records->data + row->start,
                                       (Py_ssize_t)row->bytes, row->lasts_s);
        if (item == NULL || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *records_wipe(PyObject *self, PyObject *unused)
{
    (void)unused;
    if (is_busy(self))
        return NULL;
    forget_records((RecordsObject *)self);
    Py_RETURN_NONE;
}

static Py_ssize_t records_length(PyObject *self)
{
    return (Py_ssize_t)((RecordsObject *)self)->count;
}

static void records_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    forget_records((RecordsObject *)self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef records_methods[] = {
    {"add", records_add, METH_VARARGS, "Add a record that is written already."},
    {"add_from", records_add_from, METH_VARARGS, "Add those of these ids that are in a table and are to leave it."},
    {"add_named", records_add_named, METH_VARARGS, "The same by names, of entries whose numbers follow on one another."},
    {"rows", records_rows, METH_NOARGS, "Copies of all: id, record, seconds that it lasts."},
    {"wipe", records_wipe, METH_NOARGS, "Forget all of them."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot records_slots[] = {
    {Py_tp_doc, "Sessions for the tiers, as records that aren't sealed yet."},
    {Py_tp_dealloc, records_dealloc},
    {Py_tp_methods, records_methods},
    {Py_sq_length, records_length},
    {0, NULL},
};

PyType_Spec tier_records_spec = {"meshcache.hot._hot.TierRecords", sizeof(RecordsObject), 0, Py_TPFLAGS_DEFAULT,
                                 records_slots};

/* --- sealing --- */

/* OpenSSL's own functions (openssl/evp.h), and what they made once. */
struct openssl {
    void *(*fetch_cipher)(void *, const char *, const char *);
    void (*free_cipher)(void *);
    void *(*new_context)(void);
    void (*free_context)(void *);
    int (*begin)(void *, const void *, void *, const uint8_t *, const uint8_t *);
    int (*update)(void *, uint8_t *, int *, const uint8_t *, int);
    int (*end)(void *, uint8_t *, int *);
    int (*control)(void *, int, int, void *);
    void *(*fetch_digest)(void *, const char *, const char *);
    void (*free_digest)(void *);
    int (*digest)(const void *, size_t, uint8_t *, unsigned *, const void *, void *);
    void *aes, *sha256;
};

typedef struct {
    PyObject_HEAD
    struct openssl ssl;
    uint8_t keys[PLACES][KEY_BYTES], key_id[KEY_ID_BYTES];
} SealerObject;

PyTypeObject *tier_sealer_type;

/* Finds a function's address; false with an error set when it isn't there. */
static bool find(PyObject *addresses, const char *name, void *place)
{
    PyObject *item = PyMapping_GetItemString(addresses, name);
    void *address = item == NULL ? NULL : PyLong_AsVoidPtr(item);
    Py_XDECREF(item);
    if (address == NULL && !PyErr_Occurred())
        PyErr_Format(PyExc_ValueError, "OpenSSL lacks %s", name);
    memcpy(place, &address, sizeof address);
    return address != NULL;
}

static bool find_all(struct openssl *ssl, PyObject *addresses)
{
    return find(addresses, "EVP_CIPHER_fetch", &ssl->fetch_cipher) && find(addresses, "EVP_CIPHER_free", &ssl->free_cipher) &&
           find(addresses, "EVP_CIPHER_CTX_new", &ssl->new_context) &&
           find(addresses, "EVP_CIPHER_CTX_free", &ssl->free_context) &&
           find(addresses, "EVP_EncryptInit_ex", &ssl->begin) && find(addresses, "EVP_EncryptUpdate", &ssl->update) &&
           find(addresses, "EVP_EncryptFinal_ex", &ssl->end) && find(addresses, "EVP_CIPHER_CTX_ctrl", &ssl->control) &&
           find(addresses, "EVP_MD_fetch", &ssl->fetch_digest) && find(addresses, "EVP_MD_free", &ssl->free_digest) &&
           find(addresses, "EVP_Digest", &ssl->digest);
}

static PyObject *sealer_make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)kwargs;
    PyObject *addresses;
    const char *key_id;
    Py_ssize_t key_id_bytes;
    Py_buffer keys; /* which the caller wipes */
    if (!PyArg_ParseTuple(args, "Oy#y*:TierSealer", &addresses, &key_id, &key_id_bytes, &keys))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    SealerObject *self = (SealerObject *)allocate(type, 0);
    bool fine = self != NULL && key_id_bytes == KEY_ID_BYTES && keys.len == sizeof self->keys;
    if (fine) {
        memcpy(self->key_id, key_id, KEY_ID_BYTES);
        memcpy(self->keys, keys.buf, sizeof self->keys);
    } else if (self != NULL) {
        PyErr_SetString(PyExc_ValueError, "those are no keys");
    }
    PyBuffer_Release(&keys);
    if (fine && find_all(&self->ssl, addresses)) {
        self->ssl.aes = self->ssl.fetch_cipher(NULL, "AES-256-GCM", NULL);
        self->ssl.sha256 = self->ssl.fetch_digest(NULL, "SHA256", NULL);
        if (self->ssl.aes == NULL || self->ssl.sha256 == NULL)
            PyErr_SetString(PyExc_ValueError, "OpenSSL has no AES-256-GCM or no SHA-256");
    }
    if (PyErr_Occurred()) {
        Py_XDECREF((PyObject *)self);
        return NULL;
    }
    return (PyObject *)self;
}

static void sealer_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    SealerObject *sealer = (SealerObject *)self;
    if (sealer->ssl.aes != NULL)
        sealer->ssl.free_cipher(sealer->ssl.aes);
    if (sealer->ssl.sha256 != NULL)
        sealer->ssl.free_digest(sealer->ssl.sha256);
    wipe(sealer->keys, sizeof sealer->keys);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* Seals one record: `entry` is where its entry goes, `base` what is hashed before an id, with room for one behind it. */
static bool seal_one(const SealerObject *sealer, void *context, const RecordsObject *records, const struct record *row,
                     uint8_t *base, size_t base_bytes, const uint8_t *tag, uint8_t *entry)
{
    const struct openssl *ssl = &sealer->ssl;
    uint8_t place[DIGEST_BYTES], told[SEALED_HEAD_BYTES + TIER_PLACE_BYTES];
    memcpy(base + base_bytes, row->id, row->id_bytes);
    if (ssl->digest(base, base_bytes + row->id_bytes, place, NULL, ssl->sha256, NULL) != 1)
        return false;
    uint32_t bytes = row->bytes + SEALED_MORE_BYTES;
    memcpy(entry, &row->lasts_s, sizeof row->lasts_s);
    memcpy(entry + sizeof row->lasts_s, &bytes, sizeof bytes);
    memcpy(entry + TIER_ENTRY_BYTES - TIER_PLACE_BYTES, place, TIER_PLACE_BYTES);
    uint8_t *value = entry + TIER_ENTRY_BYTES, *nonce = value + SEALED_HEAD_BYTES, *sealed = nonce + NONCE_BYTES;
    value[0] = VERSION;
    memcpy(value + 1, sealer->key_id, KEY_ID_BYTES);
    memcpy(value + 1 + KEY_ID_BYTES, tag, KEY_ID_BYTES);
    memcpy(told, value, SEALED_HEAD_BYTES);
    memcpy(told + SEALED_HEAD_BYTES, place, TIER_PLACE_BYTES);
    int done, more;
    return getentropy(nonce, NONCE_BYTES) == 0 &&
           ssl->begin(context, ssl->aes, NULL, sealer->keys[place[0]], nonce) == 1 &&
           ssl->update(context, NULL, &done, told, sizeof told) == 1 &&
           ssl->update(context, sealed, &done, records->data + row->start, (int)row->bytes) == 1 &&
           ssl->end(context, sealed + done, &more) == 1 && (uint32_t)(done + more) == row->bytes &&
           ssl->control(context, GET_TAG, TAG_BYTES, sealed + row->bytes) == 1;
}

/* Seals all records to lie where `base` and their id say. Returns their entries, one after the other: TIER_ENTRY_BYTES with
 * how long it lasts (a double), the bytes of its value (an unsigned int) and its place; then the value. */
static PyObject *sealer_seal(PyObject *self, PyObject *args)
{
    PyObject *object;
    const char *given, *tag;
    Py_ssize_t base_bytes, tag_bytes;
    if (!PyArg_ParseTuple(args, "O!y#y#:seal", tier_records_type, &object, &given, &base_bytes, &tag, &tag_bytes) ||
        is_busy(object))
        return NULL;
    if (base_bytes > BASE_BYTES_MAX || tag_bytes != KEY_ID_BYTES) {
        PyErr_SetString(PyExc_ValueError, "that is no border");
        return NULL;
    }
    const SealerObject *sealer = (const SealerObject *)self;
    RecordsObject *records = (RecordsObject *)object;
    size_t total = records->bytes + records->count * (TIER_ENTRY_BYTES + SEALED_MORE_BYTES);
    PyObject *entries = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total);
    void *context = entries == NULL ? NULL : sealer->ssl.new_context();
    bool fine = context != NULL;
    if (fine) {
        uint8_t base[BASE_BYTES_MAX + ID_BYTES_MAX], *entry = (uint8_t *)PyBytes_AsString(entries);
        memcpy(base, given, (size_t)base_bytes);
        records->busy = true;
        Py_BEGIN_ALLOW_THREADS
        for (size_t at = 0; fine && at < records->count; at++) {
            const struct record *row = &records->rows[at];
            fine = seal_one(sealer, context, records, row, base, (size_t)base_bytes, (const uint8_t *)tag, entry);
            entry += TIER_ENTRY_BYTES + SEALED_MORE_BYTES + row->bytes;
        }
        sealer->ssl.free_context(context); /* which wipes the key in it */
        wipe(base, sizeof base);
        Py_END_ALLOW_THREADS
        records->busy = false;
    }
    if (fine)
        return entries;
    Py_XDECREF(entries);
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "OpenSSL can't seal");
    return NULL;
}

static PyMethodDef sealer_methods[] = {
    {"seal", sealer_seal, METH_VARARGS, "The entries of these records, sealed. The records mustn't change meanwhile."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot sealer_slots[] = {
    {Py_tp_doc, "Seals what goes to a tier with the key that seals today."},
    {Py_tp_new, sealer_make},
    {Py_tp_dealloc, sealer_dealloc},
    {Py_tp_methods, sealer_methods},
    {0, NULL},
};

PyType_Spec tier_sealer_spec = {"meshcache.hot._hot.TierSealer", sizeof(SealerObject), 0, Py_TPFLAGS_DEFAULT, sealer_slots};
