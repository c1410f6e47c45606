/* One VIP's way in and out for handshakes: finds what may resume, by verdicts that the core has given, and files what was
 * made until the core takes it. The twin of runtime.vip_ports.session_ports.VipPort and of
 * core/replication/local_sessions.py, for what is plain; the rest is asked there. Python's methods of it are in door_type.c.
 *
 * A verdict is about a stream (what one node publishes for one VIP) and holds for one generation of the VIP's table: a
 * policy change is one addition, after which every stream is asked about anew.
 */
#include "door.h"

#include <poll.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct door *all_doors;

double monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- verdicts --- */

static struct verdict *verdict_for(struct door *door, uint32_t stream)
{
    return &door->verdicts[stream % VERDICTS];
}

/* The token's low bits if sessions of this stream may resume here now, by the core's word; else 0. */
static uint64_t allowed(struct door *door, uint32_t stream, unsigned generation)
{
    struct verdict *verdict = verdict_for(door, stream);
    uint64_t key = atomic_load(&verdict->key), low = atomic_load(&verdict->low);
    return key == ((uint64_t)stream << 32 | generation) && low >> 32 == stream ? low & UINT32_MAX : 0;
}

void door_allow_stream(struct door *door, uint32_t stream, unsigned generation, uint32_t low)
{
    struct verdict *verdict = verdict_for(door, stream);
    atomic_store(&verdict->key, 0); /* generations begin with 1 */
    atomic_store(&verdict->low, (uint64_t)stream << 32 | low);
    atomic_store(&verdict->key, (uint64_t)stream << 32 | generation);
}

/* --- what a handshake finds --- */

/* Whether the mesh has delivered what nobody has read: a client's session may be in this process already. */
static bool mail(struct door *door, const struct settings *settings)
{
    if (settings->inbox < 0 || atomic_load(&door->unread) || backlog_anywhere())
        return true;
    struct pollfd inbox = {.fd = settings->inbox, .events = POLLIN};
    return poll(&inbox, 1, 0) != 0;
}

static enum lookup judge(struct door *door, const struct settings *settings, struct hit *hit)
{
    struct head head = head_of(hit->packed);
    uint64_t low = allowed(door, head.stream, atomic_load(&settings->own->generation));
    double now = monotonic() - settings->epoch;
    if (low == 0 || head.certified || head.expiry <= now || now - head.birth > settings->lineage_s)
        return LOOKUP_ASK;
    double born_ms = (settings->epoch + head.birth - settings->zero) * 1000;
    if (born_ms < 0)
        return LOOKUP_ASK;
    hit->token = ((uint64_t)born_ms + 1) << BIRTH_SHIFT | low;
    return LOOKUP_HIT;
}

enum lookup door_find(struct door *door, const uint8_t *id, size_t id_bytes, struct hit *hit)
{
    enum lookup found = LOOKUP_ASK;
    hit->packed_bytes = 0;
    pthread_rwlock_rdlock(&door->lock);
    const struct settings *settings = &door->settings;
    if (atomic_load(&door->open) && settings->own != NULL && id_bytes <= ID_BYTES_MAX) {
        for (int at = 0; at < settings->tables_count && hit->packed_bytes == 0; at++)
            hit->packed_bytes = table_find(settings->tables[at], id, id_bytes, hit->packed);
        if (hit->packed_bytes != 0)
            found = judge(door, settings, hit);
        else if (!mail(door, settings))
            found = LOOKUP_MISS;
    }
    pthread_rwlock_unlock(&door->lock);
    return found;
}

bool door_asks(struct door *door)
{
    return atomic_load(&door->asks) && atomic_load(&door->open);
}

bool door_marks(struct door *door)
{
    return atomic_load(&door->marks);
}

bool door_waits(struct door *door)
{
    return atomic_load(&door->waits) && atomic_load(&door->open);
}

bool door_holds(struct door *door, const uint8_t *id, size_t id_bytes)
{
    bool found = false;
    pthread_rwlock_rdlock(&door->lock);
    const struct settings *settings = &door->settings;
    for (int at = 0; at < settings->tables_count && !found; at++)
        found = table_holds(settings->tables[at], id, id_bytes);
    pthread_rwlock_unlock(&door->lock);
    return found;
}

void door_count_miss(struct door *door)
{
    atomic_fetch_add(&door->miss, 1);
}

void door_count_foreign(struct door *door)
{
    atomic_fetch_add(&door->foreign, 1);
}

bool door_mint(struct door *door, uint8_t *id)
{
    pthread_rwlock_rdlock(&door->lock);
    const struct settings *settings = &door->settings;
    bool made = atomic_load(&door->open) && id_mint(&settings->ids, (uint64_t)((monotonic() + settings->ahead) * 1000), id);
    pthread_rwlock_unlock(&door->lock);
    return made;
}

bool door_minted(struct door *door, const uint8_t *id, size_t id_bytes)
{
    pthread_rwlock_rdlock(&door->lock);
    bool known = door->settings.ids.count == 0 || id_minted(&door->settings.ids, id, id_bytes);
    pthread_rwlock_unlock(&door->lock);
    return known;
}

void door_count_hit(struct door *door, uint64_t token)
{
    uint64_t outcome = token & OUTCOME_MASK;
    atomic_fetch_add(outcome == OUTCOME_LOCAL ? &door->local
                     : outcome == OUTCOME_PULLED ? &door->pulled : &door->remote, 1);
}

void door_count_resumed(struct door *door, uint64_t token)
{
    uint64_t outcome = token & OUTCOME_MASK;
    atomic_fetch_add(&door->resumed[outcome == 0 ? 0 : outcome - 1], 1);
}

void door_count_full(struct door *door, bool hit)
{
    atomic_fetch_add(&door->full, 1);
    if (hit)
        atomic_fetch_add(&door->hit_not_resumed, 1);
}

/* --- what a handshake makes --- */

static int32_t whole(double seconds)
{
    double down = floor(seconds);
    return (int32_t)(down < INT32_MIN ? INT32_MIN : down > INT32_MAX ? INT32_MAX : down);
}

/* Puts a session into the table and among those that wait, with their lock held; says whether it could. */
static bool push(struct door *door, const struct settings *settings, const struct made *made, const uint8_t *der,
                 size_t der_bytes)
{
    if (door->waiting == NULL)
        door->waiting = calloc(WAITING_MAX, sizeof *door->waiting);
    if (door->waiting == NULL || door->head - door->tail >= WAITING_MAX)
        return false;
    struct head head = {.stream = settings->stream};
    head.expiry = whole(made->expires_at - settings->epoch);
    head.birth = whole(made->born_at - settings->epoch);
    if (!table_add_pending(settings->own, made->id, made->id_bytes, &head, der, der_bytes))
        return false;
    door->waiting[door->head++ % WAITING_MAX] = *made;
    return true;
}

static void wake(int descriptor)
{
    uint64_t one = 1ull << 32; /* runtime.pump.pump.DOOR: only what is collected is to be looked at */
    if (descriptor >= 0 && write(descriptor, &one, sizeof one) < 0)
        return; /* so many wake-ups that the counter is full are enough of them */
}

static enum kept keep(struct door *door, const struct settings *settings, struct made *made, const uint8_t *der,
                      size_t der_bytes)
{
    pthread_mutex_lock(&door->waiting_lock);
    bool first = door->head == door->tail;
    bool pushed = push(door, settings, made, der, der_bytes);
    bool may_wait = (made->made_at < door->collect_until || door->looks) && door->head - door->tail < WAITING_MAX / 2;
    first = first && !door->looks;
    pthread_mutex_unlock(&door->waiting_lock);
    if (!pushed)
        return KEPT_ASK;
    if (!may_wait)
        return KEPT_PUBLISH;
    if (first)
        wake(settings->wakeup);
    return KEPT_DONE;
}

enum kept door_keep_session(struct door *door, const uint8_t *id, size_t id_bytes, const uint8_t *der,
                            size_t der_bytes, uint64_t token, bool tls13)
{
    enum kept kept = KEPT_ASK;
    pthread_rwlock_rdlock(&door->lock);
    const struct settings *settings = &door->settings;
    if (atomic_load(&door->open) && settings->own != NULL && id_bytes > 0 && id_bytes <= ID_BYTES_MAX) {
        struct made made = {.id_bytes = (uint8_t)id_bytes, .made_at = monotonic()};
        memcpy(made.id, id, id_bytes);
        made.binding = settings->binding;
        made.born_at = token ? settings->zero + (double)(token >> BIRTH_SHIFT) / 1000 : made.made_at;
        double lifetime_s = tls13 ? settings->lifetime13_s : settings->lifetime12_s;
        double left_s = made.born_at + settings->lineage_s - made.made_at;
        lifetime_s = token && left_s < lifetime_s ? left_s : lifetime_s;
        made.expires_at = made.made_at + lifetime_s;
        /* At the end of a lineage nothing is kept: the next handshake is a full one, with which a new one begins. */
        kept = lifetime_s <= 0 ? KEPT_DONE : keep(door, settings, &made, der, der_bytes);
    }
    pthread_rwlock_unlock(&door->lock);
    return kept;
}

unsigned door_waiting(struct door *door, struct made *rows, unsigned most, struct filing *filing)
{
    pthread_rwlock_rdlock(&door->lock);
    const struct settings *settings = &door->settings;
    *filing = (struct filing){settings->own, settings->stream, settings->binding};
    if (filing->own != NULL)
        table_keep(filing->own);
    pthread_rwlock_unlock(&door->lock);
    pthread_mutex_lock(&door->waiting_lock);
    unsigned waiting = filing->own == NULL ? 0 : door->head - door->tail, count = waiting < most ? waiting : most;
    for (unsigned at = 0; at < count; at++)
        rows[at] = door->waiting[(door->tail + at) % WAITING_MAX];
    pthread_mutex_unlock(&door->waiting_lock);
    return count;
}

void door_taken(struct door *door, unsigned count)
{
    pthread_mutex_lock(&door->waiting_lock);
    while (count-- > 0)
        wipe(&door->waiting[door->tail++ % WAITING_MAX], sizeof *door->waiting);
    pthread_mutex_unlock(&door->waiting_lock);
}

/* --- tickets --- */

struct ticket_keys *door_tickets(struct door *door)
{
    pthread_rwlock_rdlock(&door->lock);
    struct ticket_keys *keys = atomic_load(&door->open) ? ticket_keys_keep(door->tickets) : NULL;
    pthread_rwlock_unlock(&door->lock);
    return keys;
}

uint32_t door_maker(struct door *door, const uint8_t *node, size_t bytes)
{
    pthread_rwlock_rdlock(&door->lock);
    uint32_t low = maker_find(door->makers, node, bytes);
    pthread_rwlock_unlock(&door->lock);
    return low;
}

void door_count_ticket_issued(struct door *door)
{
    atomic_fetch_add(&door->issued, 1);
}

void door_count_ticket_opened(struct door *door, double key_age_s)
{
    atomic_fetch_add(&door->opened[ticket_age(key_age_s)], 1);
}

void door_replace_tickets(struct door *door, struct ticket_keys *fresh)
{
    pthread_rwlock_wrlock(&door->lock);
    struct ticket_keys *former = door->tickets;
    door->tickets = fresh;
    pthread_rwlock_unlock(&door->lock);
    ticket_keys_drop(former);
}

/* --- life --- */

struct door *door_new(void)
{
    struct door *door = calloc(1, sizeof *door);
    if (door == NULL)
        return NULL;
    atomic_init(&door->owners, 1);
    atomic_init(&door->open, true);
    pthread_rwlock_init(&door->lock, NULL);
    pthread_mutex_init(&door->waiting_lock, NULL);
    door->settings.inbox = door->settings.wakeup = -1;
    pthread_mutex_lock(&all_lock);
    door->next = all_doors;
    all_doors = door;
    pthread_mutex_unlock(&all_lock);
    return door;
}

void drop_tables(struct settings *settings)
{
    table_drop(settings->own);
    for (int at = 0; at < settings->tables_count; at++)
        table_drop(settings->tables[at]);
}

void door_keep(struct door *door)
{
    atomic_fetch_add(&door->owners, 1);
}

void door_drop(struct door *door)
{
    if (door == NULL || atomic_fetch_sub(&door->owners, 1) != 1)
        return;
    pthread_mutex_lock(&all_lock);
    struct door **at = &all_doors;
    while (*at != door)
        at = &(*at)->next;
    *at = door->next;
    pthread_mutex_unlock(&all_lock);
    drop_tables(&door->settings);
    wipe(&door->settings.ids, sizeof door->settings.ids);
    ticket_keys_drop(door->tickets);
    free(door->makers);
    if (door->waiting != NULL)
        wipe(door->waiting, WAITING_MAX * sizeof *door->waiting);
    free(door->waiting);
    pthread_rwlock_destroy(&door->lock);
    pthread_mutex_destroy(&door->waiting_lock);
    free(door);
}

bool door_open(struct door *door)
{
    return atomic_load(&door->open);
}

void doors_lock_all(void)
{
    for (struct door *door = all_doors; door != NULL; door = door->next) {
        pthread_rwlock_wrlock(&door->lock);
        pthread_mutex_lock(&door->waiting_lock);
    }
}

void doors_unlock_all(bool forked)
{
    for (struct door *door = all_doors; door != NULL; door = door->next) {
        pthread_mutex_unlock(&door->waiting_lock);
        if (forked) { /* the C library knows who holds such a lock by a thread's number, and the child's is another */
            atomic_store(&door->open, false);
            pthread_rwlock_init(&door->lock, NULL);
        } else {
            pthread_rwlock_unlock(&door->lock);
        }
    }
}
