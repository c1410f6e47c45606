/* The registry of attachments: which context is of which VIP, found by each callback by the context of its connection.
 *
 * Locks of its own; nobody waits for the interpreter's lock with one of them held.
 */
#include "callbacks.h"

#include <stdlib.h>

enum { BUCKETS = 1024, REGISTRY_LOCKS = 64 };

static struct attachment *buckets[BUCKETS];
static pthread_mutex_t registry_locks[REGISTRY_LOCKS];

static size_t bucket_of(const SSL_CTX *ctx)
{
    return (size_t)(((uint64_t)(uintptr_t)ctx * 0x9E3779B97F4A7C15u) >> 54);
}

static pthread_mutex_t *lock_of(size_t bucket)
{
    return &registry_locks[bucket % REGISTRY_LOCKS];
}

struct attachment *attachment_find(const SSL_CTX *ctx)
{
    size_t bucket = bucket_of(ctx);
    pthread_mutex_lock(lock_of(bucket));
    struct attachment *found = buckets[bucket];
    while (found != NULL && found->ctx != ctx)
        found = found->next;
    if (found != NULL)
        atomic_fetch_add(&found->owners, 1);
    pthread_mutex_unlock(lock_of(bucket));
    return found;
}

void attachment_drop(struct attachment *attachment)
{
    if (atomic_fetch_sub(&attachment->owners, 1) != 1)
        return;
    door_drop(attachment->door);
    scopes_drop(attachment->scopes);
    names_drop(attachment->names);
    free(attachment);
}

bool attachment_replace(const SSL_CTX *ctx, struct attachment *fresh)
{
    size_t bucket = bucket_of(ctx);
    pthread_mutex_lock(lock_of(bucket));
    struct attachment **at = &buckets[bucket];
    while (*at != NULL && (*at)->ctx != ctx)
        at = &(*at)->next;
    struct attachment *former = *at;
    if (former != NULL)
        *at = former->next;
    if (fresh != NULL) {
        fresh->next = buckets[bucket];
        buckets[bucket] = fresh;
    }
    pthread_mutex_unlock(lock_of(bucket));
    if (former == NULL)
        return false;
    Py_CLEAR(former->attached);
    Py_CLEAR(former->scopes_object);
    attachment_drop(former);
    return true;
}

void registry_init(void)
{
    for (int at = 0; at < REGISTRY_LOCKS; at++)
        pthread_mutex_init(&registry_locks[at], NULL);
}

void registry_lock_all(void)
{
    for (int at = 0; at < REGISTRY_LOCKS; at++)
        pthread_mutex_lock(&registry_locks[at]);
}

void registry_unlock_all(void)
{
    for (int at = 0; at < REGISTRY_LOCKS; at++)
        pthread_mutex_unlock(&registry_locks[at]);
}
