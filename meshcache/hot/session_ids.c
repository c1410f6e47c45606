/* Session ids that say to members, and to nobody else, which node made them and when: the twin of core/values/session_id.py,
 * which says what is in them and why. BLAKE2s is written after RFC 7693, for what is needed here: a key of 32 bytes and
 * data of one block at most.
 */
#include "hot.h"

#include <string.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <sys/random.h>
#endif

enum { KEY_BYTES = 32, BLOCK_BYTES = 64, SEAL_BYTES = 12, FACTS_BYTES = 20, ROUNDS = 10 };

/* --- BLAKE2s, RFC 7693 section 3 --- */

static const uint32_t initial[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                    0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};

static const uint8_t order[ROUNDS][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

static uint32_t rotated(uint32_t word, int bits)
{
    return word >> bits | word << (32 - bits);
}

static void mix(uint32_t *v, int a, int b, int c, int d, uint32_t x, uint32_t y)
{
    v[a] += v[b] + x;
    v[d] = rotated(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotated(v[b] ^ v[c], 12);
    v[a] += v[b] + y;
    v[d] = rotated(v[d] ^ v[a], 8);
    v[c] += v[d];
    v[b] = rotated(v[b] ^ v[c], 7);
}

static void compress(uint32_t *state, const uint8_t *block, uint32_t bytes_so_far, bool last)
{
    uint32_t v[16], words[16];
    for (int at = 0; at < 16; at++)
        words[at] = (uint32_t)block[4 * at] | (uint32_t)block[4 * at + 1] << 8 | (uint32_t)block[4 * at + 2] << 16 |
                    (uint32_t)block[4 * at + 3] << 24;
    memcpy(v, state, 32);
    memcpy(v + 8, initial, 32);
    v[12] ^= bytes_so_far;
    v[14] ^= last ? UINT32_MAX : 0;
    for (int round = 0; round < ROUNDS; round++) {
        const uint8_t *m = order[round];
        mix(v, 0, 4, 8, 12, words[m[0]], words[m[1]]);
        mix(v, 1, 5, 9, 13, words[m[2]], words[m[3]]);
        mix(v, 2, 6, 10, 14, words[m[4]], words[m[5]]);
        mix(v, 3, 7, 11, 15, words[m[6]], words[m[7]]);
        mix(v, 0, 5, 10, 15, words[m[8]], words[m[9]]);
        mix(v, 1, 6, 11, 12, words[m[10]], words[m[11]]);
        mix(v, 2, 7, 8, 13, words[m[12]], words[m[13]]);
        mix(v, 3, 4, 9, 14, words[m[14]], words[m[15]]);
    }
    for (int at = 0; at < 8; at++)
        state[at] ^= v[at] ^ v[at + 8];
}

/* The state after a key's block, from which each call goes on. */
static void begin_keyed(uint32_t *state, const uint8_t *key, uint32_t digest_bytes)
{
    uint8_t block[BLOCK_BYTES] = {0};
    memcpy(state, initial, 32);
    state[0] ^= digest_bytes | KEY_BYTES << 8 | 1 << 16 | 1 << 24;
    memcpy(block, key, KEY_BYTES);
    compress(state, block, BLOCK_BYTES, false);
    wipe(block, sizeof block);
}

static void digest(const uint32_t *keyed, const uint8_t *data, size_t bytes, uint8_t *out, size_t digest_bytes)
{
    uint8_t block[BLOCK_BYTES] = {0};
    uint32_t state[8];
    memcpy(state, keyed, sizeof state);
    memcpy(block, data, bytes);
    compress(state, block, (uint32_t)(BLOCK_BYTES + bytes), true);
    for (size_t at = 0; at < digest_bytes; at++)
        out[at] = (uint8_t)(state[at / 4] >> 8 * (at % 4));
}

/* --- ids --- */

bool id_keys_take(struct id_keys *keys, const uint8_t *secrets, size_t bytes, const uint8_t *life, size_t life_bytes)
{
    size_t count = bytes / (2 * KEY_BYTES);
    if (bytes % (2 * KEY_BYTES) != 0 || count > ID_KEYS_MAX || life_bytes != LIFE_BYTES)
        return false;
    memset(keys, 0, sizeof *keys);
    for (size_t at = 0; at < count; at++) {
        begin_keyed(keys->keys[at].seal, secrets + 2 * KEY_BYTES * at, SEAL_BYTES);
        begin_keyed(keys->keys[at].veil, secrets + 2 * KEY_BYTES * at + KEY_BYTES, FACTS_BYTES);
    }
    memcpy(keys->life, life, LIFE_BYTES);
    keys->count = (int)count;
    return true;
}

bool id_mint(const struct id_keys *keys, uint64_t born_ms, uint8_t *id)
{
    uint8_t facts[FACTS_BYTES];
    if (keys->count == 0 || getentropy(facts + 5 + LIFE_BYTES, FACTS_BYTES - 5 - LIFE_BYTES) != 0)
        return false;
    for (int at = 0; at < 5; at++)
        facts[at] = (uint8_t)(born_ms >> 8 * (4 - at));
    memcpy(facts + 5, keys->life, LIFE_BYTES);
    digest(keys->keys[0].seal, facts, FACTS_BYTES, id, SEAL_BYTES);
    digest(keys->keys[0].veil, id, SEAL_BYTES, id + SEAL_BYTES, FACTS_BYTES);
    for (int at = 0; at < FACTS_BYTES; at++)
        id[SEAL_BYTES + at] ^= facts[at];
    return true;
}

bool id_minted(const struct id_keys *keys, const uint8_t *id, size_t id_bytes)
{
    uint8_t facts[FACTS_BYTES], seal[SEAL_BYTES];
    if (id_bytes != ID_BYTES_MAX)
        return false;
    for (int key = 0; key < keys->count; key++) {
        uint8_t different = 0;
        digest(keys->keys[key].veil, id, SEAL_BYTES, facts, FACTS_BYTES);
        for (int at = 0; at < FACTS_BYTES; at++)
            facts[at] ^= id[SEAL_BYTES + at];
        digest(keys->keys[key].seal, facts, FACTS_BYTES, seal, SEAL_BYTES);
        for (int at = 0; at < SEAL_BYTES; at++)
            different |= seal[at] ^ id[at];
        if (different == 0)
            return true;
    }
    return false;
}
