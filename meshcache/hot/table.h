/* What table.c has for vip_cache.c alone, which is the same table as Python sees it. */
#ifndef MESHCACHE_TABLE_H
#define MESHCACHE_TABLE_H

#include "hot.h"

/* --- entries; whoever takes one out of a table owns it ------------------------------------------------------------- */

/* A new entry with its id, whose head and DER the caller writes; owned, and NULL when there is no memory. */
struct entry *entry_new(const uint8_t *id, size_t id_bytes, size_t packed_bytes);

/* Wipes one and frees it; NULL is none. */
void entry_free(struct entry *entry);

void write_head(uint8_t *packed, const struct head *head);

/* Its head and DER; borrowed. */
static inline uint8_t *packed_of(struct entry *entry)
{
    return entry->data + entry->id_bytes;
}

/* --- a stripe; all but the first with its lock held ---------------------------------------------------------------- */

static inline struct stripe *stripe_for(struct table *table, uint64_t hash)
{
    return &table->stripes[hash >> 60];
}

/* The slot that holds this id, or the empty one where it would be. The stripe has a slot that is empty. */
uint32_t slot_of(const struct stripe *stripe, uint64_t hash, const uint8_t *id, size_t id_bytes);

/* The entry of this id, or NULL; borrowed. */
struct entry *look_up(const struct stripe *stripe, uint64_t hash, const uint8_t *id, size_t id_bytes);

/* Takes an entry out of its stripe and gives it to the caller. */
struct entry *take_out(struct table *table, struct stripe *stripe, uint32_t at);

/* Takes an entry out of the order of use, or makes it the youngest there. */
void unlink_entry(struct stripe *stripe, struct entry *entry);
void link_newest(struct table *table, struct stripe *stripe, struct entry *entry);

/* --- a table ------------------------------------------------------------------------------------------------------- */

/* Files an entry as the youngest, in place of any other of its id. False, and it is the caller's, without memory. */
bool table_file(struct table *table, struct entry *entry);

/* Copies the id of the entry with this place in its stream to `id`; says how many bytes, 0 when it isn't here. */
size_t id_named(struct table *table, uint64_t name, uint32_t stream, uint64_t seq, uint8_t *id);

#endif
