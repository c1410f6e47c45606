/* ClientHello: gives each connection the session id context of its VIP and server name, or one that nobody else has; and
 * before that the context of its name. The twin of tls/hello.py.
 */
#include "callbacks.h"

#include <unistd.h>

#if defined(__APPLE__)
#include <sys/random.h>
#endif

/* A context that nobody else has: what the connection makes resumes nowhere, and is not kept. */
static void set_apart(const struct callbacks *callbacks, SSL *ssl)
{
    uint8_t context[CONTEXT_BYTES];
    if (mark_of(callbacks, ssl) != MARK_APART_REFUSED)
        set_mark(callbacks, ssl, MARK_APART);
    if (getentropy(context, sizeof context) == 0)
        callbacks->openssl->set_session_id_context(ssl, context, CONTEXT_BYTES);
}

const uint8_t *server_name_of(const struct openssl *openssl, SSL *ssl, size_t *bytes)
{
    const uint8_t *extension = NULL;
    if (!openssl->client_hello_get0_ext(ssl, EXT_SERVER_NAME, &extension, bytes))
        return NULL;
    if (*bytes > EXTENSION_BYTES_MAX)
        *bytes = EXTENSION_BYTES_MAX + 1; /* too long to be well formed, and so is the cut one */
    return extension;
}

/* Moves a connection to the context of the name that it asks for, if the one that it came to has names, and returns the
 * attachment of that in place of the one given, which is let go of. NULL with `refused`: the connection is to end; else
 * the context chosen is in no VIP. The twin of tls/hello.py's chooser. */
static struct attachment *choose(struct attachment *attachment, SSL *ssl, bool *refused)
{
    const struct callbacks *callbacks = attachment->callbacks;
    const struct openssl *openssl = callbacks->openssl;
    struct attachment *listener = attachment;
    /* A second ClientHello, which may have another name, comes to the context that the first one chose. */
    const SSL_CTX *listening = openssl->get_ex_data(ssl, callbacks->listening_index);
    if (listening != NULL && listening != attachment->ctx)
        listener = attachment_find(listening);
    if (listener == NULL || listener->names == NULL) {
        if (listening != NULL) /* it has left between the two: the SNI callback chooses */
            openssl->set_ex_data(ssl, callbacks->listening_index, NULL);
        if (listener != NULL && listener != attachment)
            attachment_drop(listener);
        return attachment;
    }
    size_t bytes = 0;
    const uint8_t *extension = server_name_of(openssl, ssl, &bytes);
    const SSL_CTX *chosen = NULL;
    *refused = names_move(listener->names, extension, bytes, ssl, listener->ctx, openssl->get_ctx, openssl->set_ctx,
                          &chosen) == NAMED_REFUSED;
    openssl->set_ex_data(ssl, callbacks->listening_index, (void *)(uintptr_t)listener->ctx);
    struct attachment *found = *refused ? NULL : attachment_find(chosen);
    if (listener != attachment)
        attachment_drop(listener);
    attachment_drop(attachment);
    return found;
}

/* Whether what was found is a ticket, and this no renegotiation, which TLS 1.3 has none of. */
static bool keeps_ticket(const struct attachment *attachment, SSL *ssl)
{
    return attachment->mode == MODE_TICKETS && attachment->callbacks->openssl->version(ssl) == TLS13;
}

/* False for a connection that shares nothing. */
static bool give_scope(struct attachment *attachment, SSL *ssl)
{
    struct callbacks *callbacks = attachment->callbacks;
    const struct openssl *openssl = callbacks->openssl;
    size_t bytes = 0;
    const uint8_t *extension = server_name_of(openssl, ssl, &bytes);
    uint8_t context[CONTEXT_BYTES];
    enum scope_answer answer = scopes_find(attachment->scopes, extension, bytes, context);
    if (answer == SCOPE_UNKNOWN)
        answer = ask_scope(attachment, extension, bytes, context) ? SCOPE_GIVEN : SCOPE_NONE;
    if (answer == SCOPE_NONE || openssl->set_session_id_context(ssl, context, CONTEXT_BYTES) != 1) {
        set_apart(callbacks, ssl);
        return false;
    }
    /* A second ClientHello may have another name; what was refused or missed at the first one it goes on being, and a
     * ticket that was opened is counted. */
    mark former = mark_of(callbacks, ssl);
    if (is_apart(former) || (former >= MARK_HIT && !keeps_ticket(attachment, ssl)))
        set_mark(callbacks, ssl, MARK_NONE);
    return true;
}

bool offers_tls13(const struct openssl *openssl, SSL *ssl)
{
    const uint8_t *versions = NULL;
    size_t bytes = 0;
    long highest = openssl->control(ssl, GET_MAX_PROTO_VERSION, 0, NULL);
    if ((highest != 0 && highest < TLS13) || (openssl->set_options(ssl, 0) & OP_NO_TLSV1_3) != 0 ||
        !openssl->client_hello_get0_ext(ssl, EXT_SUPPORTED_VERSIONS, &versions, &bytes))
        return false;
    for (size_t at = 1; at + 1 < bytes && at < 255; at += 2)
        if (versions[at] == TLS13 >> 8 && versions[at + 1] == (TLS13 & 0xff))
            return true;
    return false;
}

int on_hello(SSL *ssl, int *alert, const SSL_CTX *ctx)
{
    struct attachment *attachment = attachment_find(ctx);
    bool refused = false;
    if (attachment != NULL)
        attachment = choose(attachment, ssl, &refused);
    if (refused)
        *alert = UNRECOGNIZED_NAME;
    if (attachment == NULL) /* detached: nothing is found and nothing kept */
        return refused ? CLIENT_HELLO_ERROR : CLIENT_HELLO_SUCCESS;
    const struct openssl *openssl = attachment->callbacks->openssl;
    /* Options are the listening context's, which may be one of a VIP with tickets. */
    if (attachment->mode == MODE_SESSIONS || (attachment->mode == MODE_BOTH && offers_tls13(openssl, ssl)))
        openssl->set_options(ssl, OP_NO_TICKET);
    int result = give_scope(attachment, ssl) && is_paused(attachment, ssl) ? CLIENT_HELLO_RETRY : CLIENT_HELLO_SUCCESS;
    attachment_drop(attachment);
    return result;
}
