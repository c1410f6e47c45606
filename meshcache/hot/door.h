/* What door.c has for door_type.c alone, by which Python sets doors up and takes what was made. */
#ifndef MESHCACHE_DOOR_H
#define MESHCACHE_DOOR_H

#include "hot.h"

enum { BIRTH_SHIFT = 18, OUTCOME_MASK = 3, OUTCOME_LOCAL = 1 }; /* as runtime.vip_ports.origin_tokens.Tokens packs them; hot.h has one more */

/* What the core has answered about a stream, in two words that are read without a lock. Both name the stream: `low` is
 * the same for one stream whenever it is written, so that a reader who meets two writers has a whole answer or none. */
struct verdict {
    atomic_ullong key; /* stream << 32 | generation */
    atomic_ullong low; /* stream << 32 | the token's bits that are the stream's */
};

/* What Python sets; read by handshakes under the lock's shared side. */
struct settings {
    struct table *own;               /* owned; NULL until the core serves the VIP */
    struct table *tables[TABLES_MAX]; /* owned; `own` first, then those of the share group */
    int tables_count;
    uint32_t stream;                 /* of what is made here */
    double epoch;                    /* of the seconds in heads, on the monotonic clock */
    double zero;                     /* of the births in tokens */
    double lineage_s, lifetime12_s, lifetime13_s;
    int inbox;                       /* descriptor that is readable when the mesh has delivered something; or -1 */
    int wakeup;                      /* eventfd of the pump; or -1 */
    unsigned binding;                /* counts the calls of `bind` */
    double ahead;                    /* of the node's clock, by which births in ids are told */
    struct id_keys ids;
};

struct door {
    struct door *next; /* in the list of all, for fork */
    atomic_int owners;
    atomic_bool open;
    atomic_bool unread; /* the mesh may have delivered more than `inbox` tells */
    atomic_bool marks;  /* sessions of TLS 1.3 are good for one handshake, and are marked with their id */
    atomic_bool waits;  /* handshakes that can't be paused wait in the get callback for what is on its way */
    atomic_bool asks;   /* what isn't here is looked for elsewhere, for handshakes that can be paused */
    pthread_rwlock_t lock; /* guards `settings` */
    struct settings settings;
    struct verdict verdicts[VERDICTS];
    atomic_ullong local, remote, pulled, miss, foreign, full, hit_not_resumed;
    atomic_ullong resumed[3]; /* handshakes that ended well, with a session that is local, remote or pulled */
    pthread_mutex_t waiting_lock; /* guards what follows */
    struct made *waiting;         /* WAITING_MAX of them, made with the first session */
    unsigned head, tail;          /* `head` - `tail` are waiting */
    double collect_until;         /* until then sessions may wait for the pump */
    bool looks;                   /* the pump looks at `collect_until` by itself */
    struct ticket_keys *tickets;  /* owned, under `lock`; NULL: what is about tickets is asked in Python */
    struct makers *makers;        /* owned, under `lock`; made with the first one */
    atomic_ullong issued, opened[TICKET_AGES];
};

/* A new door, which its caller owns; NULL without memory. */
struct door *door_new(void);

/* Lets go of the tables of settings that hold no more. */
void drop_tables(struct settings *settings);

/* Remembers the core's word that sessions of a stream may resume, for one generation of the VIP's table. */
void door_allow_stream(struct door *door, uint32_t stream, unsigned generation, uint32_t low);

/* Puts ticket keys, which the door owns then, in the place of those before; with NULL, handshakes ask in Python. */
void door_replace_tickets(struct door *door, struct ticket_keys *fresh);

#endif
