/* One VIP's sessions: id to head and DER, for whoever asks in C. Python's methods of it are in vip_cache.c.
 *
 * Entries are spread over stripes by a keyed hash of their id (ids come from clients and from other nodes), each stripe
 * with a lock of its own. An entry belongs to its stripe; what leaves is wiped before it is freed.
 */
#include "table.h"

#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MIN = 16 };

pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct table *all_tables;

/* --- entries --- */

void wipe(void *place, size_t bytes)
{
#if defined(__GNUC__)
    memset(place, 0, bytes);
    __asm__ __volatile__("" : : "r"(place) : "memory"); /* or it would be left out before a free: nobody reads it */
#else
    volatile uint8_t *at = place;
    while (bytes--)
        *at++ = 0;
#endif
}

static uint32_t read32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

struct head head_of(const uint8_t *packed)
{
    struct head head;
    head.stream = read32(packed);
    head.seq = (uint64_t)read32(packed + 4) | (uint64_t)read32(packed + 8) << 32;
    head.expiry = (int32_t)read32(packed + 12);
    head.birth = (int32_t)read32(packed + 16);
    head.certified = packed[20];
    return head;
}

static void write32(uint8_t *at, uint32_t number)
{
    at[0] = (uint8_t)number;
    at[1] = (uint8_t)(number >> 8);
    at[2] = (uint8_t)(number >> 16);
    at[3] = (uint8_t)(number >> 24);
}

void write_head(uint8_t *packed, const struct head *head)
{
    write32(packed, head->stream);
    write32(packed + 4, (uint32_t)head->seq);
    write32(packed + 8, (uint32_t)(head->seq >> 32));
    write32(packed + 12, (uint32_t)head->expiry);
    write32(packed + 16, (uint32_t)head->birth);
    packed[20] = head->certified;
}

struct entry *entry_new(const uint8_t *id, size_t id_bytes, size_t packed_bytes)
{
    struct entry *entry = malloc(offsetof(struct entry, data) + id_bytes + packed_bytes);
    if (entry == NULL)
        return NULL;
    memset(entry, 0, offsetof(struct entry, data));
    entry->id_bytes = (uint8_t)id_bytes;
    entry->packed_bytes = (uint16_t)packed_bytes;
    memcpy(entry->data, id, id_bytes);
    return entry;
}

void entry_free(struct entry *entry)
{
    if (entry == NULL)
        return;
    wipe(entry, offsetof(struct entry, data) + entry->id_bytes + entry->packed_bytes);
    free(entry);
}

static uint64_t cost_of(const struct entry *entry)
{
    return (uint64_t)entry->id_bytes + entry->packed_bytes - HEAD_BYTES + OVERHEAD_BYTES;
}

static bool is(const struct entry *entry, const uint8_t *id, size_t id_bytes)
{
    return entry->id_bytes == id_bytes && memcmp(entry->data, id, id_bytes) == 0;
}

/* --- a stripe, with its lock held --- */

/* What says of a hash where its entry lies, and in most cases that another one is not it without a look at that, which is
 * seldom in the core's caches. Never 0. */
static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)hash ? (uint32_t)hash : 1;
}

uint32_t slot_of(const struct stripe *stripe, uint64_t hash, const uint8_t *id, size_t id_bytes)
{
    uint32_t mask = stripe->capacity - 1, tag = tag_of(hash), at = tag & mask;
    while (stripe->tags[at] != 0 && !(stripe->tags[at] == tag && is(stripe->slots[at], id, id_bytes)))
        at = (at + 1) & mask;
    return at;
}

struct entry *look_up(const struct stripe *stripe, uint64_t hash, const uint8_t *id, size_t id_bytes)
{
    return stripe->capacity ? stripe->slots[slot_of(stripe, hash, id, id_bytes)] : NULL;
}

/* Moves all entries to as many slots. They needn't be looked at: no two have one id. */
static bool resize(struct stripe *stripe, uint32_t capacity)
{
    struct entry **slots = calloc(capacity, sizeof *slots + sizeof *stripe->tags);
    if (slots == NULL)
        return false;
    uint32_t *tags = (uint32_t *)(slots + capacity), mask = capacity - 1;
    for (uint32_t from = 0; from < stripe->capacity; from++) {
        if (stripe->tags[from] != 0) {
            uint32_t at = stripe->tags[from] & mask;
            while (tags[at] != 0)
                at = (at + 1) & mask;
            tags[at] = stripe->tags[from];
            slots[at] = stripe->slots[from];
        }
    }
    free(stripe->slots);
    stripe->slots = slots;
    stripe->tags = tags;
    stripe->capacity = capacity;
    return true;
}

/* Puts an entry into the slots; false when there is no memory for them. Its id must not be there. At seven of eight full a
 * miss looks at 33 tags, which are two or three lines of the core's cache. */
static bool fill_slot(struct stripe *stripe, uint64_t hash, struct entry *entry)
{
    if ((uint64_t)(stripe->count + 1) * 8 > (uint64_t)stripe->capacity * 7 &&
        !resize(stripe, stripe->capacity ? stripe->capacity * 2 : CAPACITY_MIN))
        return false;
    uint32_t at = slot_of(stripe, hash, entry->data, entry->id_bytes);
    stripe->slots[at] = entry;
    stripe->tags[at] = tag_of(hash);
    stripe->count++;
    return true;
}

/* Empties a slot and moves up those behind it that would not be found any more. */
static void clear_slot(struct stripe *stripe, uint32_t at)
{
    uint32_t mask = stripe->capacity - 1, hole = at;
    for (uint32_t next = (at + 1) & mask; stripe->tags[next] != 0; next = (next + 1) & mask) {
        uint32_t home = stripe->tags[next] & mask;
        if (((next - home) & mask) >= ((next - hole) & mask)) {
            stripe->slots[hole] = stripe->slots[next];
            stripe->tags[hole] = stripe->tags[next];
            hole = next;
        }
    }
    stripe->slots[hole] = NULL;
    stripe->tags[hole] = 0;
    stripe->count--;
    if (stripe->capacity > CAPACITY_MIN && stripe->count < stripe->capacity / 8)
        (void)resize(stripe, stripe->capacity / 2); /* without memory it just stays as large */
}

void unlink_entry(struct stripe *stripe, struct entry *entry)
{
    *(entry->older ? &entry->older->newer : &stripe->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &stripe->newest) = entry->older;
    entry->older = entry->newer = NULL;
}

void link_newest(struct table *table, struct stripe *stripe, struct entry *entry)
{
    entry->tick = atomic_fetch_add(&table->ticks, 1);
    entry->older = stripe->newest;
    entry->newer = NULL;
    *(stripe->newest ? &stripe->newest->newer : &stripe->oldest) = entry;
    stripe->newest = entry;
}

struct entry *take_out(struct table *table, struct stripe *stripe, uint32_t at)
{
    struct entry *entry = stripe->slots[at];
    clear_slot(stripe, at);
    if (!entry->pending) {
        unlink_entry(stripe, entry);
        atomic_fetch_sub(&table->bytes, cost_of(entry));
        atomic_fetch_sub(&table->entries, 1);
    }
    return entry;
}

bool table_file(struct table *table, struct entry *entry)
{
    uint64_t hash = keyed_hash(entry->data, entry->id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    pthread_mutex_lock(&stripe->lock);
    struct entry *former = NULL;
    if (look_up(stripe, hash, entry->data, entry->id_bytes) != NULL)
        former = take_out(table, stripe, slot_of(stripe, hash, entry->data, entry->id_bytes));
    bool filed = fill_slot(stripe, hash, entry);
    if (filed && !entry->pending) {
        link_newest(table, stripe, entry);
        atomic_fetch_add(&table->bytes, cost_of(entry));
        atomic_fetch_add(&table->entries, 1);
    }
    pthread_mutex_unlock(&stripe->lock);
    entry_free(former);
    return filed;
}

/* --- what the other files ask --- */

struct table *table_new(void)
{
    struct table *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    atomic_init(&table->owners, 1);
    atomic_init(&table->generation, 1);
    for (int at = 0; at < STRIPES; at++)
        pthread_mutex_init(&table->stripes[at].lock, NULL);
    pthread_mutex_lock(&all_lock);
    table->next = all_tables;
    all_tables = table;
    pthread_mutex_unlock(&all_lock);
    return table;
}

void table_keep(struct table *table)
{
    atomic_fetch_add(&table->owners, 1);
}

void table_drop(struct table *table)
{
    if (table == NULL || atomic_fetch_sub(&table->owners, 1) != 1)
        return;
    pthread_mutex_lock(&all_lock);
    struct table **at = &all_tables;
    while (*at != table)
        at = &(*at)->next;
    *at = table->next;
    pthread_mutex_unlock(&all_lock);
    for (int each = 0; each < STRIPES; each++) {
        struct stripe *stripe = &table->stripes[each];
        for (uint32_t slot = 0; slot < stripe->capacity; slot++)
            entry_free(stripe->slots[slot]);
        free(stripe->slots);
        pthread_mutex_destroy(&stripe->lock);
    }
    free(table);
}

bool table_holds(struct table *table, const uint8_t *id, size_t id_bytes)
{
    uint64_t hash = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    pthread_mutex_lock(&stripe->lock);
    bool found = look_up(stripe, hash, id, id_bytes) != NULL;
    pthread_mutex_unlock(&stripe->lock);
    return found;
}

size_t table_find(struct table *table, const uint8_t *id, size_t id_bytes, uint8_t *packed)
{
    uint64_t hash = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    size_t bytes = 0;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up(stripe, hash, id, id_bytes);
    if (entry != NULL) {
        bytes = entry->packed_bytes;
        memcpy(packed, packed_of(entry), bytes);
        entry->used = true;
    }
    pthread_mutex_unlock(&stripe->lock);
    return bytes;
}

size_t table_read(struct table *table, const uint8_t *id, size_t id_bytes, uint8_t *packed)
{
    uint64_t hash = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    size_t bytes = 0;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up(stripe, hash, id, id_bytes);
    if (entry != NULL && !entry->pending) {
        bytes = entry->packed_bytes;
        memcpy(packed, packed_of(entry), bytes);
    }
    pthread_mutex_unlock(&stripe->lock);
    return bytes;
}

bool table_add_pending(struct table *table, const uint8_t *id, size_t id_bytes, const struct head *head,
                       const uint8_t *der, size_t der_bytes)
{
    struct entry *entry = entry_new(id, id_bytes, HEAD_BYTES + der_bytes);
    if (entry == NULL)
        return false;
    entry->pending = true;
    write_head(packed_of(entry), head);
    memcpy(packed_of(entry) + HEAD_BYTES, der, der_bytes);
    uint64_t hash = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    pthread_mutex_lock(&stripe->lock);
    bool added = look_up(stripe, hash, id, id_bytes) == NULL && fill_slot(stripe, hash, entry);
    pthread_mutex_unlock(&stripe->lock);
    if (!added)
        entry_free(entry);
    return added;
}

size_t table_find_pending(struct table *table, const uint8_t *id, size_t id_bytes, uint8_t *packed)
{
    uint64_t hash = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    size_t bytes = 0;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up(stripe, hash, id, id_bytes);
    if (entry != NULL && entry->pending) {
        bytes = entry->packed_bytes;
        memcpy(packed, packed_of(entry), bytes);
    }
    pthread_mutex_unlock(&stripe->lock);
    return bytes;
}

void table_drop_pending(struct table *table, const uint8_t *id, size_t id_bytes)
{
    uint64_t hash = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    struct entry *gone = NULL;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up(stripe, hash, id, id_bytes);
    if (entry != NULL && entry->pending)
        gone = take_out(table, stripe, slot_of(stripe, hash, id, id_bytes));
    pthread_mutex_unlock(&stripe->lock);
    entry_free(gone);
}

int table_file_new(struct table *table, const uint8_t *id, size_t id_bytes, const struct head *head, const uint8_t *der,
                   size_t der_bytes, uint64_t *name)
{
    struct entry *entry = entry_new(id, id_bytes, HEAD_BYTES + der_bytes);
    if (entry == NULL)
        return -1;
    write_head(packed_of(entry), head);
    memcpy(packed_of(entry) + HEAD_BYTES, der, der_bytes);
    uint64_t hash = *name = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    pthread_mutex_lock(&stripe->lock);
    bool there = look_up(stripe, hash, id, id_bytes) != NULL, filed = !there && fill_slot(stripe, hash, entry);
    if (filed) {
        link_newest(table, stripe, entry);
        atomic_fetch_add(&table->bytes, cost_of(entry));
        atomic_fetch_add(&table->entries, 1);
    }
    pthread_mutex_unlock(&stripe->lock);
    if (!filed)
        entry_free(entry);
    return there ? 0 : filed ? 1 : -1;
}

size_t table_file_made(struct table *table, const uint8_t *id, size_t id_bytes, uint32_t stream, uint64_t seq, uint64_t *name,
                       uint8_t *der, size_t room)
{
    uint64_t hash = *name = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    size_t der_bytes = 0;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up(stripe, hash, id, id_bytes);
    if (entry != NULL && entry->pending && head_of(packed_of(entry)).stream == stream &&
        (size_t)entry->packed_bytes - HEAD_BYTES <= room) {
        struct head head = head_of(packed_of(entry));
        head.seq = seq;
        write_head(packed_of(entry), &head);
        der_bytes = entry->packed_bytes - HEAD_BYTES;
        if (der != NULL)
            memcpy(der, packed_of(entry) + HEAD_BYTES, der_bytes);
        entry->pending = false;
        link_newest(table, stripe, entry);
        atomic_fetch_add(&table->bytes, cost_of(entry));
        atomic_fetch_add(&table->entries, 1);
    }
    pthread_mutex_unlock(&stripe->lock);
    return der_bytes;
}

void table_take_back(struct table *table, const uint8_t *id, size_t id_bytes)
{
    uint64_t hash = keyed_hash(id, id_bytes);
    struct stripe *stripe = stripe_for(table, hash);
    struct entry *gone = NULL;
    pthread_mutex_lock(&stripe->lock);
    if (look_up(stripe, hash, id, id_bytes) != NULL)
        gone = take_out(table, stripe, slot_of(stripe, hash, id, id_bytes));
    pthread_mutex_unlock(&stripe->lock);
    entry_free(gone);
}

/* The entry of this name with this place in its stream, or NULL. */
static struct entry *look_up_named(const struct stripe *stripe, uint64_t name, uint32_t stream, uint64_t seq)
{
    uint32_t mask = stripe->capacity - 1, tag = tag_of(name), at = tag & mask;
    for (; stripe->capacity && stripe->tags[at] != 0; at = (at + 1) & mask) {
        if (stripe->tags[at] != tag)
            continue;
        struct entry *entry = stripe->slots[at];
        struct head head = head_of(packed_of(entry));
        if (!entry->pending && head.stream == stream && head.seq == seq)
            return entry;
    }
    return NULL;
}

size_t id_named(struct table *table, uint64_t name, uint32_t stream, uint64_t seq, uint8_t *id)
{
    struct stripe *stripe = stripe_for(table, name);
    size_t bytes = 0;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up_named(stripe, name, stream, seq);
    if (entry != NULL) {
        bytes = entry->id_bytes;
        memcpy(id, entry->data, bytes);
    }
    pthread_mutex_unlock(&stripe->lock);
    return bytes;
}

size_t table_read_named(struct table *table, uint64_t name, uint32_t stream, uint64_t seq, uint8_t *id, size_t *id_bytes,
                        uint8_t *packed)
{
    struct stripe *stripe = stripe_for(table, name);
    size_t bytes = 0;
    pthread_mutex_lock(&stripe->lock);
    struct entry *entry = look_up_named(stripe, name, stream, seq);
    if (entry != NULL) {
        *id_bytes = entry->id_bytes;
        memcpy(id, entry->data, entry->id_bytes);
        bytes = entry->packed_bytes;
        memcpy(packed, packed_of(entry), bytes);
    }
    pthread_mutex_unlock(&stripe->lock);
    return bytes;
}

void tables_lock_all(void)
{
    for (struct table *table = all_tables; table != NULL; table = table->next)
        for (int at = 0; at < STRIPES; at++)
            pthread_mutex_lock(&table->stripes[at].lock);
}

void tables_unlock_all(void)
{
    for (struct table *table = all_tables; table != NULL; table = table->next)
        for (int at = 0; at < STRIPES; at++)
            pthread_mutex_unlock(&table->stripes[at].lock);
}
