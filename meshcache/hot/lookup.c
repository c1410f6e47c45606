/* A session id from a client becomes a session object, which OpenSSL then owns, or a miss. The twin of tls/lookup.py and
 * tls/ordinary.py.
 */
#include "callbacks.h"

#include <string.h>
#include <time.h>

/* The twin of tls/ordinary.py, which gives the reasons. */
bool is_ordinary(const struct openssl *openssl, SSL_SESSION *session)
{
    void *cipher = openssl->session_get0_cipher(session);
    int exchange = cipher == NULL ? 0 : openssl->cipher_get_kx_nid(cipher);
    return openssl->session_get_max_early_data(session) == 0 && openssl->session_get_max_fragment_length(session) == 0 &&
           openssl->session_get_compress_id(session) == 0 &&
           (openssl->session_get0_peer_rpk == NULL || openssl->session_get0_peer_rpk(session) == NULL) &&
           (exchange == KX_RSA || exchange == KX_ECDHE || exchange == KX_DHE || exchange == KX_ANY);
}

enum { CIPHERS_MAX = 96 };

/* A connection's own settings that say whether it agrees to a cipher, and the cipher, in one number; 0: too many to tell.
 * Signature algorithms are not among them: no cipher is resumed with one, and whoever changes them makes a new context. */
static uint64_t agreement(const struct openssl *openssl, SSL *ssl, const void *cipher)
{
    const void *ciphers = openssl->get_ciphers(ssl); /* OpenSSL's */
    int count = openssl->stack_num(ciphers);         /* -1 for NULL */
    if (count <= 0 || count > CIPHERS_MAX)
        return 0;
    uint64_t facts[CIPHERS_MAX + 6] = {
        (uintptr_t)cipher, (uint64_t)openssl->get_security_level(ssl), (uintptr_t)openssl->get_security_callback(ssl),
        openssl->set_options(ssl, 0), (uint64_t)openssl->control(ssl, GET_MIN_PROTO_VERSION, 0, NULL),
        (uint64_t)openssl->control(ssl, GET_MAX_PROTO_VERSION, 0, NULL)};
    for (int at = 0; at < count; at++)
        facts[6 + at] = (uintptr_t)openssl->stack_value(ciphers, at);
    return keyed_hash((const uint8_t *)facts, (size_t)(6 + count) * sizeof *facts);
}

/* OpenSSL makes a list to say so, so that it agreed is remembered for connections that are set up alike. */
bool is_agreeable(struct attachment *attachment, SSL *ssl, void *cipher)
{
    const struct openssl *openssl = attachment->callbacks->openssl;
    uint64_t settings = agreement(openssl, ssl, cipher);
    atomic_ullong *place = &attachment->agreed[settings % AGREED_MAX];
    if (settings != 0 && atomic_load(place) == settings)
        return true;
    void *ciphers = openssl->get1_supported_ciphers(ssl); /* owned */
    bool found = ciphers != NULL && openssl->find(ciphers, cipher) >= 0;
    openssl->stack_free(ciphers);
    if (found)
        atomic_store(place, settings);
    return found;
}

void restart_clock(const struct openssl *openssl, SSL *ssl, SSL_SESSION *session)
{
    openssl->session_set_time(session, (long)time(NULL));
    openssl->session_set_timeout(session, openssl->ctx_get_timeout(openssl->get_ctx(ssl)));
}

void name_as_asked(const struct openssl *openssl, SSL *ssl, SSL_SESSION *session)
{
    char name[EXTENSION_BYTES_MAX];
    const uint8_t *extension = NULL;
    size_t bytes = 0, length = 0;
    if (openssl->version(ssl) <= TLS12 && openssl->client_hello_get0_ext(ssl, EXT_SERVER_NAME, &extension, &bytes) &&
        bytes > 5 && bytes <= EXTENSION_BYTES_MAX && extension[2] == 0 &&
        (size_t)(extension[0] << 8 | extension[1]) == bytes - 2 && (size_t)(extension[3] << 8 | extension[4]) == bytes - 5)
        length = bytes - 5;
    for (size_t at = 0; at < length; at++)
        if (extension[5 + at] == 0 || extension[5 + at] > 127)
            length = 0;
    if (length > 0)
        memcpy(name, extension + 5, length);
    name[length] = 0;
    if (openssl->version(ssl) <= TLS12)
        openssl->session_set1_hostname(session, length > 0 ? name : NULL);
}

/* What OpenSSL does not look at itself, as far as it is plain. */
static bool fit(struct attachment *attachment, SSL *ssl, SSL_SESSION *session, const uint8_t *id, size_t id_bytes)
{
    const struct openssl *openssl = attachment->callbacks->openssl;
    unsigned bytes = 0;
    const uint8_t *own_id = openssl->session_get_id(session, &bytes);
    return bytes == id_bytes && memcmp(own_id, id, bytes) == 0 && openssl->session_get0_peer(session) == NULL &&
           openssl->session_get_protocol_version(session) == openssl->version(ssl) && is_ordinary(openssl, session) &&
           is_agreeable(attachment, ssl, openssl->session_get0_cipher(session));
}

/* The session object for a hit, owned by the caller; NULL when it isn't plain or isn't fit. */
static SSL_SESSION *decode(struct attachment *attachment, SSL *ssl, const struct hit *hit, const uint8_t *id,
                           size_t id_bytes)
{
    const struct callbacks *callbacks = attachment->callbacks;
    const struct openssl *openssl = callbacks->openssl;
    const uint8_t *der = hit->packed + HEAD_BYTES, *cursor = der;
    size_t der_bytes = hit->packed_bytes - HEAD_BYTES;
    SSL_SESSION *session = openssl->decode(NULL, &cursor, (long)der_bytes);
    if (session != NULL && (size_t)(cursor - der) == der_bytes && fit(attachment, ssl, session, id, id_bytes) &&
        mark_use(attachment, session, id, id_bytes) &&
        openssl->session_set_ex_data(session, callbacks->token_index, (void *)(uintptr_t)hit->token) == 1) {
        restart_clock(openssl, ssl, session);
        name_as_asked(openssl, ssl, session);
        return session;
    }
    if (session != NULL)
        openssl->session_free(session);
    openssl->clear_error(); /* what a failed decoding queued would turn the next "want read" into an error */
    return NULL;
}

/* Whether Python is to wait for a session that isn't here: once in a handshake, and only for an id that a member made. */
static bool waits_here(struct attachment *attachment, SSL *ssl, const uint8_t *id, size_t id_bytes)
{
    if (attachment->pauses || attachment->mode == MODE_TICKETS || !door_waits(attachment->door))
        return false;
    mark former = mark_of(attachment->callbacks, ssl);
    return (former == MARK_NONE || former == MARK_FOREIGN) && door_minted(attachment->door, id, id_bytes);
}

/* An id that no member made is no miss: a client's own random one, or one of another mesh. One that a member made is. */
static void note_miss(struct attachment *attachment, SSL *ssl, const uint8_t *id, size_t id_bytes)
{
    mark former = mark_of(attachment->callbacks, ssl);
    if (former == MARK_NONE || former == MARK_FOREIGN)
        set_mark(attachment->callbacks, ssl,
                 door_minted(attachment->door, id, id_bytes) ? MARK_ASKED : MARK_FOREIGN);
}

static SSL_SESSION *look_for(struct attachment *attachment, SSL *ssl, const uint8_t *id, size_t id_bytes)
{
    struct callbacks *callbacks = attachment->callbacks;
    if (attachment->door != NULL) {
        struct hit hit;
        enum lookup found = door_find(attachment->door, id, id_bytes, &hit);
        if (found == LOOKUP_HIT && attachment->pauses &&
            (uintptr_t)callbacks->openssl->get_ex_data(ssl, callbacks->pause_index) == PAUSE_PULLED)
            hit.token |= OUTCOME_PULLED; /* it is the highest */
        SSL_SESSION *session = found == LOOKUP_HIT ? decode(attachment, ssl, &hit, id, id_bytes) : NULL;
        wipe(hit.packed, hit.packed_bytes);
        if (session != NULL) {
            set_mark(callbacks, ssl, (mark)hit.token);
            if (callbacks->openssl->version(ssl) == TLS12) /* whose resumptions end without a callback */
                door_count_hit(attachment->door, hit.token);
        } else if (found == LOOKUP_MISS && waits_here(attachment, ssl, id, id_bytes)) {
            found = LOOKUP_ASK;
        } else if (found == LOOKUP_MISS) {
            note_miss(attachment, ssl, id, id_bytes);
        }
        if (session != NULL || found == LOOKUP_MISS)
            return session;
    }
    return ask_get(callbacks, ssl, id, id_bytes);
}

SSL_SESSION *on_get(const struct openssl *openssl, SSL *ssl, const uint8_t *id, int id_bytes, int *copy)
{
    *copy = 0;
    struct attachment *attachment = attachment_find(openssl->get_ctx(ssl));
    if (attachment == NULL)
        return NULL;
    SSL_SESSION *session = NULL;
    /* It may share nothing, or ask more of its clients than its scope says, or less: Python says so, and counts it. */
    bool alike = !is_apart(mark_of(attachment->callbacks, ssl)) &&
                 openssl->get_verify_mode(ssl) == attachment->verify_mode;
    if (id_bytes > 0)
        session = alike ? look_for(attachment, ssl, id, (size_t)id_bytes)
                        : ask_get(attachment->callbacks, ssl, id, (size_t)id_bytes);
    attachment_drop(attachment);
    return session;
}
