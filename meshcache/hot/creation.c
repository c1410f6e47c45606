/* A session that OpenSSL made gets its id, its lineage's mark, and is filed; one that it drops is taken back. The twin of
 * tls/creation.py, tls/minting.py and tls/lineage.py.
 */
#include "callbacks.h"

#include <unistd.h>

#if defined(__APPLE__)
#include <sys/random.h>
#endif

bool is_plain(struct attachment *attachment, const SSL *ssl, SSL_SESSION *session)
{
    const struct openssl *openssl = attachment->callbacks->openssl;
    unsigned bytes = 0;
    const uint8_t *context = openssl->session_get0_id_context(session, &bytes);
    int version = openssl->session_get_protocol_version(session);
    return bytes == CONTEXT_BYTES && scopes_gave(attachment->scopes, context) &&
           openssl->get_verify_mode(ssl) == attachment->verify_mode && (version == TLS12 || version == TLS13) &&
           is_ordinary(openssl, session) && openssl->session_get0_peer(session) == NULL &&
           (openssl->get_negotiated_server_cert_type == NULL || openssl->get_negotiated_server_cert_type(ssl) == 0);
}

static enum kept keep_plain(struct attachment *attachment, SSL_SESSION *session, uint64_t token)
{
    const struct openssl *openssl = attachment->callbacks->openssl;
    uint8_t der[DER_BYTES_MAX], *cursor = der;
    int der_bytes = openssl->encode(session, NULL);
    if (der_bytes <= 0 || der_bytes > DER_BYTES_MAX || openssl->encode(session, &cursor) != der_bytes)
        return KEPT_ASK;
    unsigned id_bytes = 0;
    const uint8_t *id = openssl->session_get_id(session, &id_bytes);
    bool tls13 = openssl->session_get_protocol_version(session) >= TLS13;
    enum kept kept = door_keep_session(attachment->door, id, id_bytes, der, (size_t)der_bytes, token, tls13);
    wipe(der, (size_t)der_bytes);
    return kept;
}

/* Counts a full handshake, and how its lookup ended. */
static void count_full(struct attachment *attachment, SSL *ssl, SSL_SESSION *session)
{
    struct callbacks *callbacks = attachment->callbacks;
    mark ended = mark_of(callbacks, ssl);
    door_count_full(attachment->door, ended >= MARK_HIT);
    if (ended == MARK_ASKED)
        door_count_miss(attachment->door);
    if (ended == MARK_FOREIGN)
        door_count_foreign(attachment->door);
    if (ended >= MARK_HIT && callbacks->openssl->session_get_protocol_version(session) == TLS13)
        door_count_hit(attachment->door, ended);
    if (ended != MARK_NONE && !is_apart(ended))
        set_mark(callbacks, ssl, MARK_NONE);
}

void count_handshake(struct attachment *attachment, SSL *ssl, SSL_SESSION *session, uint64_t token)
{
    struct callbacks *callbacks = attachment->callbacks;
    const struct openssl *openssl = callbacks->openssl;
    if (openssl->session_get_ex_data(session, callbacks->counted_index) != NULL)
        return;
    openssl->session_set_ex_data(session, callbacks->counted_index, (void *)(uintptr_t)1);
    if (token == 0)
        count_full(attachment, ssl, session);
    else
        door_count_hit(attachment->door, token);
}

void mark_lineage(const struct openssl *openssl, SSL_SESSION *session)
{
    uint8_t lineage[LINEAGE_BYTES];
    void *data = NULL;
    size_t bytes = 0;
    if (openssl->session_get0_ticket_appdata(session, &data, &bytes) == 1 && bytes == 0 &&
        getentropy(lineage, sizeof lineage) == 0)
        openssl->session_set1_ticket_appdata(session, lineage, sizeof lineage);
}

/* Whether the client has an id for a session, and not a ticket that holds all of it. */
static bool is_for_cache(const struct attachment *attachment, SSL *ssl, SSL_SESSION *session)
{
    const struct openssl *openssl = attachment->callbacks->openssl;
    if (attachment->mode == MODE_SESSIONS)
        return true;
    return attachment->mode == MODE_BOTH && (openssl->session_get_protocol_version(session) != TLS13 ||
                                             (openssl->set_options(ssl, 0) & OP_NO_TICKET) != 0);
}

static void file_session(struct attachment *attachment, SSL *ssl, SSL_SESSION *session)
{
    struct callbacks *callbacks = attachment->callbacks;
    const struct openssl *openssl = callbacks->openssl;
    enum kept kept = KEPT_ASK;
    mark_lineage(openssl, session);
    if (attachment->door != NULL && door_open(attachment->door)) {
        uint64_t token = (uintptr_t)openssl->session_get_ex_data(session, callbacks->token_index);
        if (token == 0 && openssl->session_reused(ssl))
            return; /* by a PSK callback of the application's, from a lineage that nobody knows */
        count_handshake(attachment, ssl, session, token);
        if (token != 0)
            tell_use(attachment, session);
        if (!is_for_cache(attachment, ssl, session))
            return;
        if (is_plain(attachment, ssl, session))
            kept = keep_plain(attachment, session, token);
    }
    if (kept == KEPT_ASK)
        tell_session(callbacks->new, ssl, session);
    if (kept == KEPT_PUBLISH)
        tell_made(attachment);
}

int on_new(const struct openssl *openssl, SSL *ssl, SSL_SESSION *session)
{
    struct attachment *attachment = attachment_find(openssl->get_ctx(ssl));
    if (attachment != NULL) {
        file_session(attachment, ssl, session);
        attachment_drop(attachment);
    }
    return 0; /* 1 would mean that we keep a reference to the session object */
}

int on_generate(const struct openssl *openssl, const SSL *ssl, uint8_t *id, unsigned *bytes)
{
    struct attachment *attachment = attachment_find(openssl->get_ctx(ssl));
    /* A ticket's is looked up nowhere. */
    bool made = attachment != NULL && attachment->mode != MODE_TICKETS && attachment->door != NULL &&
                *bytes == ID_BYTES_MAX && door_mint(attachment->door, id);
    if (!made)
        made = *bytes <= ID_BYTES_MAX && getentropy(id, *bytes) == 0; /* an id as OpenSSL makes them */
    if (attachment != NULL)
        attachment_drop(attachment);
    return made; /* 0 ends the handshake: without randomness there is none anyway */
}

/* At an unclean close or a fatal alert. */
void on_remove(SSL_CTX *ctx, SSL_SESSION *session)
{
    struct attachment *attachment = attachment_find(ctx);
    if (attachment != NULL) {
        tell_session(attachment->callbacks->remove, ctx, session);
        attachment_drop(attachment);
    }
}
