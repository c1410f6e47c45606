/* The handshake's hot path in C: what its files share, and what Python may ask of it (module.c).
 *
 * Decides nothing. The core in Python fills and empties the tables and says which streams may resume where; the
 * callbacks here find, check and file. Whatever is unusual is asked in Python, which answers as it does without C.
 *
 * Locks, in the order in which they may nest: all_lock, door->settings, door->waiting_lock, stripe->lock; a guard's mutex comes
 * before a stripe's. The locks of
 * scope memories, of context names and of the registry never nest with another. Nobody waits for the interpreter's lock with one of
 * these held, so a thread that holds the interpreter's lock may wait for any of them.
 */
#ifndef MESHCACHE_HOT_H
#define MESHCACHE_HOT_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ID_BYTES_MAX = 32,          /* core.values.session.SESSION_ID_BYTES_MAX */
    DER_BYTES_MAX = 4096,       /* core.values.session.DER_BYTES_MAX */
    HEAD_BYTES = 21,            /* core.cache.entry.HEAD: "<IQiiB" */
    OVERHEAD_BYTES = 192,       /* core.cache.entry.ENTRY_OVERHEAD_BYTES */
    LINEAGE_BYTES = 8,          /* tls.lineage.LINEAGE_BYTES */
    CONTEXT_BYTES = 32,         /* core.policy.scope.CONTEXT_BYTES */
    EXTENSION_BYTES_MAX = 260,  /* tls.scopes.EXTENSION_BYTES_MAX */
    SCOPES_MAX = 2048,          /* tls.scopes.SCOPES_MAX */
    STRIPES = 16,               /* of a table: so many threads can be in it at once */
    WAITING_MAX = 1024,            /* sessions made that the core has not taken yet, for each VIP: 64 KiB */
    TABLES_MAX = 64,            /* core.values.topology.VIPS_MAX */
    VERDICTS = 4096,            /* streams whose verdict one VIP remembers, as core.state.served_vips does */
};

/* --- table.c: one VIP's sessions, id to head and DER, in order of use ------------------------------------------- */

/* One session. Owned by its stripe, which wipes and frees it. `data` is the id, then the head, then the DER. */
struct entry {
    struct entry *older, *newer; /* in the stripe's order of use; unused while `pending` */
    uint64_t tick;               /* when it came to its place in that order: compares entries of different stripes */
    uint16_t packed_bytes;       /* of head and DER */
    uint8_t id_bytes;
    bool used;    /* found since it came to its place: it gets a second chance */
    bool pending; /* made here and not yet taken by the core, which doesn't see it */
    uint8_t data[];
};

/* One part of a table, with a lock of its own. Owns its slots and their entries. */
struct stripe {
    pthread_mutex_t lock;
    struct entry **slots; /* open addressing, linear probing; `capacity` is a power of two, or 0 */
    uint32_t *tags;       /* behind the slots: the low part of each entry's hash, which places it; 0 where there is none */
    uint32_t capacity, count;
    struct entry *oldest, *newest;
};

/* A VIP's part of the cache. Freed when the last of its owners, the Python object and the doors, lets go. */
struct table {
    struct table *next; /* in the list of all, for fork */
    atomic_int owners;
    atomic_uint generation; /* of the verdicts about this VIP: one higher, and none of those before holds */
    atomic_ullong bytes, entries, ticks;
    struct stripe stripes[STRIPES];
};

/* The fields of a head, as core.cache.entry packs them. */
struct head {
    uint32_t stream;
    uint64_t seq;
    int32_t expiry, birth; /* whole seconds since the cache was made */
    uint8_t certified;
};

struct table *table_new(void);
void table_keep(struct table *table);
void table_drop(struct table *table);

/* Copies a session's head and DER to `packed`, which has room for the largest, and counts it as used.
 * Says how many bytes; 0 when there is none. The caller wipes the copy. */
size_t table_find(struct table *table, const uint8_t *id, size_t id_bytes, uint8_t *packed);

/* The same for one that the core sees; it doesn't count as used. */
size_t table_read(struct table *table, const uint8_t *id, size_t id_bytes, uint8_t *packed);

/* The same by its name and its place in its stream; also copies its id, which has at least one byte, to `id`. */
size_t table_read_named(struct table *table, uint64_t name, uint32_t stream, uint64_t seq, uint8_t *id, size_t *id_bytes,
                        uint8_t *packed);

/* Whether there is one. */
bool table_holds(struct table *table, const uint8_t *id, size_t id_bytes);

/* Files a session that was made here and is the core's to take. False when there is one of this id, or no memory. */
bool table_add_pending(struct table *table, const uint8_t *id, size_t id_bytes, const struct head *head,
                       const uint8_t *der, size_t der_bytes);

/* Copies a pending session, as table_find does. */
size_t table_find_pending(struct table *table, const uint8_t *id, size_t id_bytes, uint8_t *packed);

/* Forgets a session that is still pending; does nothing for any other. */
void table_drop_pending(struct table *table, const uint8_t *id, size_t id_bytes);

/* Files a session that isn't made here as the youngest, and says by what name a journal remembers it: 1, 0 when there is
 * one of this id, or -1 without memory. */
int table_file_new(struct table *table, const uint8_t *id, size_t id_bytes, const struct head *head, const uint8_t *der,
                   size_t der_bytes, uint64_t *name);

/* Makes a pending session of this stream one that the core sees, as the youngest, with this number, unless its DER is larger
 * than `room`; with `der` copies it there. Says how many bytes it has; 0, with nothing done, when it isn't pending or too
 * large. */
size_t table_file_made(struct table *table, const uint8_t *id, size_t id_bytes, uint32_t stream, uint64_t seq, uint64_t *name,
                       uint8_t *der, size_t room);

/* Takes out what was filed a moment ago. */
void table_take_back(struct table *table, const uint8_t *id, size_t id_bytes);

struct head head_of(const uint8_t *packed);
uint64_t keyed_hash(const uint8_t *data, size_t bytes);
void wipe(void *place, size_t bytes);

/* vip_cache.c: the same as Python has it. */
extern PyType_Spec table_spec;
extern PyTypeObject *table_type;
struct table *table_of(PyObject *object); /* of an object of that type; borrowed */

/* --- pushes.c: what other nodes push, filed from its bytes ------------------------------------------------------ */

enum { PUSH_MAX = 64 }; /* core.wire.messages.BATCH_SESSIONS_MAX */

struct span {
    const uint8_t *data;
    size_t bytes;
};

/* How a push has to look, and what becomes of it. */
struct push_terms {
    struct span envelope, head; /* its bytes up to the map of its fields, and those that say of which stream it is */
    uint32_t stream;
    uint64_t next_seq;
    long long second; /* since the cache was made */
    double lineage_s;
    uint32_t lifetime_s;
};

struct filed {
    uint64_t last;
    unsigned count;
    uint32_t age_us;
    uint64_t names[PUSH_MAX];
};

/* Files what a push holds: 1, 0 (and nothing is filed) for whatever is unusual or wrong, or -1 without memory. */
int push_file(struct table *table, struct span payload, const struct push_terms *terms, struct filed *filed);

PyObject *table_file_push(PyObject *table, PyObject *args); /* a method of the table's */

/* --- own_pushes.c: what handshakes made, filed and written as a push --------------------------------------------- */

PyObject *door_push(PyObject *door, PyObject *args); /* a method of the door's */
PyObject *own_push_of(PyObject *module, PyObject *args);

/* Whether a table holds more than it may. */
bool table_is_over(PyObject *table);

/* --- lock.c: the lock around the core, which C can hold too ------------------------------------------------------- */

/* Owned by the Python locks that are it, and by whoever takes it in C. */
struct guard {
    pthread_mutex_t mutex;    /* no other lock but a stripe's is taken with it held, and the interpreter's never in C */
    int owners;               /* with the interpreter's lock held */
    atomic_ullong generation; /* one higher whenever Python takes it and may change what C was told; read without it */
    bool untold;              /* C did something that `settle` has to hear of */
    PyObject *settle;         /* owned, or NULL */
};

void guard_keep(struct guard *guard);
void guard_drop(struct guard *guard);

extern PyType_Spec lock_spec;
extern PyTypeObject *lock_type;
struct guard *guard_of(PyObject *object); /* of an object of that type; borrowed */

/* --- inflow.c: what comes from ZeroMQ and is filed without the interpreter ---------------------------------------- */

extern PyType_Spec inflow_spec;
extern PyTypeObject *inflow_type;

/* --- mail.c: messages in and out of ZeroMQ's sockets, functions of the module's --------------------------------- */

enum { CONNECTION_NAME_MAX = 255, ZMQ_MESSAGE_BYTES = 64 }; /* of a connection; of a zmq_msg_t, in all of libzmq 4 */

struct message {
    _Alignas(sizeof(void *)) unsigned char content[ZMQ_MESSAGE_BYTES];
};

/* One that came on a ROUTER. `content` is its one frame, the caller's to close; without, it had none or more. */
struct letter {
    uint8_t name[CONNECTION_NAME_MAX], name_bytes;
    bool has_content;
    struct message content;
};

/* The next letter that is here; false with errno 0 when there is none, or another on a fault. Needs no interpreter. */
bool letter_next(void *socket, struct letter *letter);
struct span letter_bytes(struct letter *letter); /* borrowed */
void letter_close(struct letter *letter);
PyObject *letter_to_python(struct letter *letter);

/* Whether a ROUTER may hold letters of which its descriptor doesn't tell: it tells of the first ones alone. One for each
 * reader, all zero at first. All from any thread. */
struct backlog {
    atomic_bool left;
    atomic_uint process;
};

void backlog_note(struct backlog *backlog, bool left);
bool backlog_anywhere(void); /* in this process */
void backlogs_forget(void);  /* in a child, whose parent's are none of its own */

PyObject *mail_use(PyObject *module, PyObject *args);
PyObject *mail_receive(PyObject *module, PyObject *args);
PyObject *mail_send(PyObject *module, PyObject *args);
PyObject *mail_send_each(PyObject *module, PyObject *args);
PyObject *mail_ready(PyObject *module, PyObject *number);

/* --- scopes.c: which session id context a server name gets, remembered ----------------------------------------- */

struct scopes;

enum scope_answer { SCOPE_UNKNOWN, SCOPE_NONE, SCOPE_GIVEN };

void scopes_keep(struct scopes *scopes);
void scopes_drop(struct scopes *scopes);

/* What a server_name extension gets; `extension` is NULL for a connection that sent none. */
enum scope_answer scopes_find(struct scopes *scopes, const uint8_t *extension, size_t bytes, uint8_t *context);

/* Remembers an answer: `context` is NULL for one that shares nothing. */
void scopes_remember(struct scopes *scopes, const uint8_t *extension, size_t bytes, const uint8_t *context);

/* Whether a connection was given this context, as far as is remembered. */
bool scopes_gave(struct scopes *scopes, const uint8_t *context);

extern PyType_Spec scopes_spec;
extern PyTypeObject *scopes_type;
struct scopes *scopes_of(PyObject *object); /* borrowed */

/* --- names.c: which context a server name gets, where a listening context serves several -------------------------- */

struct names;

enum named_as { NAMED_MOVED, NAMED_REFUSED };

void names_keep(struct names *names);
void names_drop(struct names *names);

/* Moves a connection, by OpenSSL's `move`, to the context of the name in a server_name extension (NULL: it sent none),
 * or to the listening one where no name is this, and says in `chosen` which; that needs no owner, since the connection is
 * one. NAMED_REFUSED: it is to end. */
enum named_as names_move(struct names *names, const uint8_t *extension, size_t bytes, void *ssl, const void *listening,
                         void *(*current)(const void *), void *(*move)(void *, void *), const void **chosen);

extern PyType_Spec names_spec;
extern PyTypeObject *names_type;
struct names *names_of(PyObject *object); /* borrowed */

/* --- session_ids.c: ids that members make and read ---------------------------------------------------------------- */

enum { ID_KEYS_MAX = 4, LIFE_BYTES = 7 }; /* edges.keyring.KEYS_MAX; core.values.session_id.LIFE_BYTES */

/* Secrets: states of BLAKE2s after its key. The first key makes ids. */
struct id_keys {
    int count; /* 0: no ids are made or known */
    struct {
        uint32_t seal[8], veil[8];
    } keys[ID_KEYS_MAX];
    uint8_t life[LIFE_BYTES];
};

/* Fills `keys` from the two keys of each mesh key; false when the sizes are wrong. */
bool id_keys_take(struct id_keys *keys, const uint8_t *secrets, size_t bytes, const uint8_t *life, size_t life_bytes);

/* Makes an id of ID_BYTES_MAX; false without a key or randomness. */
bool id_mint(const struct id_keys *keys, uint64_t born_ms, uint8_t *id);

/* Whether a member made this id. */
bool id_minted(const struct id_keys *keys, const uint8_t *id, size_t id_bytes);

/* --- door.c: one VIP's way in and out for handshakes ------------------------------------------------------------ */

struct ticket_keys; /* below */
struct door;

enum lookup { LOOKUP_ASK, LOOKUP_MISS, LOOKUP_HIT };

struct hit {
    uint8_t packed[HEAD_BYTES + DER_BYTES_MAX];
    size_t packed_bytes;
    uint64_t token;
};

void door_keep(struct door *door);
void door_drop(struct door *door);
bool door_open(struct door *door);

/* Finds a session that may resume here now; anything that isn't plain is Python's to answer. */
enum lookup door_find(struct door *door, const uint8_t *id, size_t id_bytes, struct hit *hit);

/* Whether it is worth looking elsewhere for what isn't here, while a handshake is paused. */
bool door_asks(struct door *door);

/* Whether a session of TLS 1.3 is good for one handshake, which is then told of. */
bool door_marks(struct door *door);

/* Whether a handshake that can't be paused waits in its get callback for what is on its way. */
bool door_waits(struct door *door);

/* Whether there is a session of this id, fit to resume or not. It doesn't count as used. */
bool door_holds(struct door *door, const uint8_t *id, size_t id_bytes);

enum { OUTCOME_PULLED = 3 }; /* of a token, the rest of which door.c has */

void door_count_hit(struct door *door, uint64_t token);
void door_count_full(struct door *door, bool hit);
void door_count_resumed(struct door *door, uint64_t token);
void door_count_miss(struct door *door);
void door_count_foreign(struct door *door);

/* The id for a session that is being made; false where the door knows no keys. */
bool door_mint(struct door *door, uint8_t *id);

/* Whether a member made this id, or nobody here can say. */
bool door_minted(struct door *door, const uint8_t *id, size_t id_bytes);

enum kept { KEPT_ASK, KEPT_DONE, KEPT_PUBLISH };

/* A session made here that the core has not taken yet; its DER is in the table. */
struct made {
    uint8_t id[ID_BYTES_MAX];
    uint8_t id_bytes;
    unsigned binding; /* of the settings it was made under */
    double made_at, expires_at, born_at; /* monotonic seconds */
};

/* Where what waits is filed. */
struct filing {
    struct table *own; /* owned by the caller; NULL when nothing waits */
    uint32_t stream;
    unsigned binding;
};

/* Copies up to `most` of what waits, the oldest first, which the caller wipes, and says how many. They stay where they are:
 * with the core's lock held nobody takes them. */
unsigned door_waiting(struct door *door, struct made *rows, unsigned most, struct filing *filing);

/* Forgets so many of what waits, the oldest first. */
void door_taken(struct door *door, unsigned count);

/* Files a session that was made here. KEPT_PUBLISH: tell the core now. */
enum kept door_keep_session(struct door *door, const uint8_t *id, size_t id_bytes, const uint8_t *der,
                            size_t der_bytes, uint64_t token, bool tls13);

/* The ticket keys of the VIP, owned by the caller; NULL: Python is asked. */
struct ticket_keys *door_tickets(struct door *door);

/* The part of a token that says that this node made the ticket; 0 for one that isn't known yet. */
uint32_t door_maker(struct door *door, const uint8_t *node, size_t bytes);

void door_count_ticket_issued(struct door *door);
void door_count_ticket_opened(struct door *door, double key_age_s);

/* door_type.c: the same as Python has it. */
extern PyType_Spec door_spec;
extern PyTypeObject *door_type;
struct door *door_of(PyObject *object); /* borrowed */

/* --- ticket_keys.c: the keys of a VIP's tickets, and the note in each ticket -------------------------------------- */

enum {
    TICKET_KEYS_MAX = 48,     /* core.wire.ticket_messages.KEYS_MAX */
    TICKET_NAME_BYTES = 16,   /* core.values.ticket_key.NAME_BYTES */
    TICKET_SECRET_BYTES = 32, /* AES-256, and HMAC-SHA-256's */
    TICKET_PREFIX_BYTES = 4,  /* tls.ticket_keys.PREFIX_BYTES */
    TICKET_HEAD_BYTES = 21,   /* of a note: tls.ticket_keys._HEAD, ">B4sQQ" */
    NODE_BYTES_MAX = 64,      /* core.values.topology.NAME_BYTES_MAX */
    TICKET_NOTE_MAX = LINEAGE_BYTES + TICKET_HEAD_BYTES + NODE_BYTES_MAX,
    TICKET_AGES = 4,          /* core.state.counters.KEY_AGES */
    MAKERS_MAX = 512,         /* nodes whose tickets one VIP takes without asking; beyond, one makes room for another */
    MAKER_TRIES = 8,
};

/* tls.ticket_keys.EdgeKey; times are on the monotonic clock. */
struct ticket_key {
    uint8_t name[TICKET_NAME_BYTES], aes[TICKET_SECRET_BYTES], mac[TICKET_SECRET_BYTES];
    double born_at, encrypts_until, opens_until, lifetime_s;
};

/* tls.ticket_keys.EdgeKeys. Never changes; wiped and freed by the last of its owners, the door and each callback. */
struct ticket_keys {
    atomic_int owners;
    int count, current; /* `current` is the place of the one that encrypts; -1: none does */
    double lifetime12_s, lifetime13_s, lineage_s;
    double zero; /* of the births in tokens */
    uint8_t node[NODE_BYTES_MAX];
    size_t node_bytes;
    struct ticket_key keys[TICKET_KEYS_MAX]; /* the highest first */
};

/* tls.ticket_keys.Note; `node` lies in what was read. */
struct ticket_note {
    uint8_t prefix[TICKET_PREFIX_BYTES];
    double key_age_s, lineage_s;
    const uint8_t *node;
    size_t node_bytes;
};

struct maker {
    uint8_t node[NODE_BYTES_MAX], bytes; /* 0 bytes: nobody */
    uint32_t low;                        /* of its sessions' tokens */
};

struct makers {
    struct maker all[MAKERS_MAX];
};

struct ticket_keys *ticket_keys_from(PyObject *args); /* owned; NULL with an error set */
struct ticket_keys *ticket_keys_keep(struct ticket_keys *keys);
void ticket_keys_drop(struct ticket_keys *keys);

/* The key of this name, while it opens tickets; NULL. Borrowed, as all below. */
const struct ticket_key *ticket_key_named(const struct ticket_keys *keys, const uint8_t *name, double now);

/* The key that a note's maker chose, whether it is over or not; NULL. */
const struct ticket_key *ticket_key_of_note(const struct ticket_keys *keys, const struct ticket_note *note);

/* The key to encrypt with now; NULL. */
const struct ticket_key *ticket_key_in_use(const struct ticket_keys *keys, double now);

/* Reads the note in a session's application data; false where there is none that is plain. */
bool ticket_note_read(const uint8_t *data, size_t bytes, struct ticket_note *note);

/* Writes one, for which there has to be room for all but the lineage; returns its bytes. */
size_t ticket_note_write(const struct ticket_keys *keys, const struct ticket_key *key, double lineage_s, double now,
                         uint8_t *note);

int ticket_age(double age_s); /* the place of an age among those that are counted */

uint32_t maker_find(const struct makers *makers, const uint8_t *node, size_t bytes);
void maker_remember(struct makers *makers, const uint8_t *node, size_t bytes, uint32_t low);

double monotonic(void); /* of door.c */

/* --- callbacks.c: what OpenSSL calls back; what its files share is in callbacks.h ---------------------------------- */

extern PyType_Spec callbacks_spec;
extern PyTypeObject *callbacks_type;
void registry_init(void); /* of attachments.c: once, when the module is loaded */
PyObject *callbacks_closing(PyObject *module, PyObject *unused);

/* --- tier_records.c: sessions for the tiers, written and sealed; tier_file.c: their file --------------------------- */

enum {
    TIER_PLACE_BYTES = 16,                             /* hooks.TIER_KEY_BYTES */
    TIER_ENTRY_BYTES = 8 + 4 + TIER_PLACE_BYTES,       /* tiers.sealed_entries._HEAD, "=dI16s"; the value is behind it */
};

extern PyType_Spec tier_records_spec, tier_sealer_spec, tier_file_spec;
extern PyTypeObject *tier_records_type, *tier_sealer_type, *tier_file_type;

/* --- fork(2): all locks are taken before and given back after, so that a child finds nothing half done ---------- */

extern pthread_mutex_t all_lock; /* guards the lists of all tables, doors and scope memories */
void tables_lock_all(void);
void tables_unlock_all(void);
void scopes_lock_all(void);
void scopes_unlock_all(void);
void names_lock_all(void);
void names_unlock_all(void);
void doors_lock_all(void);
void doors_unlock_all(bool forked); /* in a child every door is closed for good */
void registry_lock_all(void);
void registry_unlock_all(void);

#endif
