/* Session tickets: which key, what is noted in one, what may be used of one. The twin of tls/tickets.py. What isn't plain is
 * asked there, and so is every no.
 */
#include "callbacks.h"

#include <string.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <sys/random.h>
#endif

enum { TICKET_NO_KEY = 0, TICKET_GO_ON = 1, TICKET_IGNORE_RENEW = 2, TICKET_USE = 3, TICKET_USE_RENEW = 4 };
enum { TICKET_ASK = -100 };                             /* of ours: Python answers */
enum { TICKET_OPENED = 5, TICKET_OPENED_RENEW = 6 };    /* SSL_TICKET_SUCCESS, SSL_TICKET_SUCCESS_RENEW */
enum { TICKET_IV_BYTES = 16, TOKEN_BIRTH_SHIFT = 18 };  /* the latter as in door.h */

/* What a closure answers; `otherwise` where nobody can be asked. */
static int answered(PyObject *answer, int otherwise)
{
    long value = answer == NULL ? otherwise : PyLong_AsLong(answer);
    if (answer == NULL || PyErr_Occurred())
        value = otherwise;
    Py_XDECREF(answer);
    return (int)value;
}

static int ask_ticket_key(const struct callbacks *callbacks, SSL *ssl, uint8_t *name, uint8_t *iv, void *cipher,
                          void *mac, int encrypting)
{
    int result = TICKET_NO_KEY;
    struct asking asking;
    if (begin_asking(&asking)) {
        result = answered(PyObject_CallFunction(callbacks->ticket_key, "KKKKKi", (unsigned long long)(uintptr_t)ssl,
                                                (unsigned long long)(uintptr_t)name, (unsigned long long)(uintptr_t)iv,
                                                (unsigned long long)(uintptr_t)cipher,
                                                (unsigned long long)(uintptr_t)mac, encrypting),
                          TICKET_NO_KEY);
        end_asking(&asking);
    }
    return result;
}

static int ask_ticket_made(const struct callbacks *callbacks, SSL *ssl)
{
    int result = TICKET_GO_ON;
    struct asking asking;
    if (begin_asking(&asking)) {
        result = answered(PyObject_CallFunction(callbacks->ticket_made, "K", (unsigned long long)(uintptr_t)ssl),
                          TICKET_GO_ON);
        end_asking(&asking);
    }
    return result;
}

static int ask_ticket_opened(const struct callbacks *callbacks, SSL *ssl, SSL_SESSION *session, const uint8_t *name,
                             size_t name_bytes, int status)
{
    int result = TICKET_IGNORE_RENEW;
    struct asking asking;
    if (begin_asking(&asking)) {
        result = answered(PyObject_CallFunction(callbacks->ticket_opened, "KKKKi", (unsigned long long)(uintptr_t)ssl,
                                                (unsigned long long)(uintptr_t)session,
                                                (unsigned long long)(uintptr_t)name, (unsigned long long)name_bytes,
                                                status),
                          TICKET_IGNORE_RENEW);
        end_asking(&asking);
    }
    return result;
}

/* The keys by which an attachment's tickets are plain; owned, and NULL where each is asked about. */
static struct ticket_keys *keys_of(const struct attachment *attachment)
{
    return attachment->door == NULL ? NULL : door_tickets(attachment->door);
}

/* Reads the note that lies in a session; false where there is none that is plain. Borrowed from the session. */
static bool note_of(const struct openssl *openssl, SSL_SESSION *session, struct ticket_note *note)
{
    void *data = NULL;
    size_t bytes = 0;
    return openssl->session_get0_ticket_appdata(session, &data, &bytes) == 1 && data != NULL &&
           ticket_note_read(data, bytes, note);
}

/* Puts a note behind the lineage in a session's application data, in the place of any other. */
static bool set_note(const struct openssl *openssl, SSL_SESSION *session, const uint8_t *note, size_t note_bytes)
{
    uint8_t fresh[TICKET_NOTE_MAX];
    void *data = NULL;
    size_t bytes = 0, kept = 0;
    if (openssl->session_get0_ticket_appdata(session, &data, &bytes) == 1 && bytes >= LINEAGE_BYTES) {
        memcpy(fresh, data, LINEAGE_BYTES);
        kept = LINEAGE_BYTES;
    }
    if (note_bytes > 0)
        memcpy(fresh + kept, note, note_bytes);
    return openssl->session_set1_ticket_appdata(session, fresh, kept + note_bytes) == 1;
}

/* Gives OpenSSL a key, for the one or the other; `start` is how its cipher begins. */
static int load_key(const struct callbacks *callbacks, const struct ticket_key *key, const uint8_t *iv, void *cipher,
                    void *mac, int (*start)(void *, const void *, void *, const uint8_t *, const uint8_t *))
{
    bool done = callbacks->openssl->mac_init(mac, key->mac, sizeof key->mac, callbacks->ticket_mac) == 1 &&
                start(cipher, callbacks->ticket_cipher, NULL, key->aes, iv) == 1;
    return done ? TICKET_GO_ON : TICKET_NO_KEY;
}

static int encrypt_ticket(struct attachment *attachment, const struct ticket_keys *keys, SSL *ssl, uint8_t *name,
                          uint8_t *iv, void *cipher, void *mac)
{
    const struct callbacks *callbacks = attachment->callbacks;
    struct ticket_note note;
    if (!note_of(callbacks->openssl, callbacks->openssl->get_session(ssl), &note))
        return TICKET_ASK; /* none where no ticket is to be given */
    const struct ticket_key *key = ticket_key_of_note(keys, &note);
    if (key == NULL || monotonic() >= key->encrypts_until || getentropy(iv, TICKET_IV_BYTES) != 0)
        return TICKET_ASK;
    memcpy(name, key->name, sizeof key->name);
    int result = load_key(callbacks, key, iv, cipher, mac, callbacks->openssl->encrypt_init);
    if (result != TICKET_NO_KEY)
        door_count_ticket_issued(attachment->door);
    return result;
}

static int decrypt_ticket(const struct callbacks *callbacks, const struct ticket_keys *keys, const uint8_t *name,
                          const uint8_t *iv, void *cipher, void *mac)
{
    const struct ticket_key *key = ticket_key_named(keys, name, monotonic());
    return key == NULL ? TICKET_NO_KEY : load_key(callbacks, key, iv, cipher, mac, callbacks->openssl->decrypt_init);
}

int on_ticket_key(const struct openssl *openssl, SSL *ssl, uint8_t *name, uint8_t *iv, void *cipher, void *mac,
                         int encrypting)
{
    struct attachment *attachment = attachment_find(openssl->get_ctx(ssl));
    if (attachment == NULL)
        return TICKET_NO_KEY;
    const struct callbacks *callbacks = attachment->callbacks;
    struct ticket_keys *keys = keys_of(attachment);
    int result = keys == NULL ? TICKET_ASK
                 : encrypting ? encrypt_ticket(attachment, keys, ssl, name, iv, cipher, mac)
                              : decrypt_ticket(callbacks, keys, name, iv, cipher, mac);
    ticket_keys_drop(keys);
    if (result == TICKET_ASK)
        result = ask_ticket_key(callbacks, ssl, name, iv, cipher, mac, encrypting);
    attachment_drop(attachment);
    return result;
}

/* Counts the handshake, and notes what the ticket has to say of itself; false, and nothing is done, where that isn't plain.
 */
static bool note_plain(struct attachment *attachment, const struct ticket_keys *keys, SSL *ssl)
{
    const struct callbacks *callbacks = attachment->callbacks;
    const struct openssl *openssl = callbacks->openssl;
    SSL_SESSION *session = openssl->get_session(ssl);
    double now = monotonic();
    const struct ticket_key *key = ticket_key_in_use(keys, now);
    if (session == NULL || key == NULL || !is_plain(attachment, ssl, session))
        return false;
    mark_lineage(openssl, session);
    uint64_t token = (uintptr_t)openssl->session_get_ex_data(session, callbacks->token_index);
    if (token == 0 && openssl->session_reused(ssl))
        return false; /* by a PSK callback of the application's */
    if (token == 0 || openssl->session_get_protocol_version(session) > TLS12)
        count_handshake(attachment, ssl, session, token);
    double lineage_s = token == 0 ? 0 : now - (keys->zero + (double)(token >> TOKEN_BIRTH_SHIFT) / 1000);
    uint8_t note[TICKET_NOTE_MAX];
    size_t bytes = ticket_note_write(keys, key, lineage_s, now, note);
    return set_note(openssl, session, note, bytes);
}

int on_ticket_made(SSL *ssl, void *argument)
{
    const struct openssl *openssl = argument;
    struct attachment *attachment = attachment_find(openssl->get_ctx(ssl));
    if (attachment == NULL)
        return TICKET_GO_ON;
    int result = TICKET_GO_ON;
    if ((openssl->set_options(ssl, 0) & OP_NO_TICKET) == 0) { /* else a session for the cache, in the shape of a ticket */
        struct ticket_keys *keys = keys_of(attachment);
        if (keys == NULL || !note_plain(attachment, keys, ssl))
            result = ask_ticket_made(attachment->callbacks, ssl);
        ticket_keys_drop(keys);
    }
    attachment_drop(attachment);
    return result;
}

/* Whether a session was made under the context that this connection's server name gets, as far as that is remembered. */
static bool in_scope(struct attachment *attachment, SSL *ssl, SSL_SESSION *session)
{
    const struct openssl *openssl = attachment->callbacks->openssl;
    uint8_t context[CONTEXT_BYTES];
    unsigned bytes = 0;
    size_t extension_bytes = 0;
    const uint8_t *extension = server_name_of(openssl, ssl, &extension_bytes);
    const uint8_t *own = openssl->session_get0_id_context(session, &bytes);
    return scopes_find(attachment->scopes, extension, extension_bytes, context) == SCOPE_GIVEN &&
           bytes == CONTEXT_BYTES && memcmp(own, context, CONTEXT_BYTES) == 0;
}

/* The token for the session in a ticket that may be used; 0 where Python has to say why not. */
static uint64_t judge_ticket(struct attachment *attachment, const struct ticket_keys *keys, const struct ticket_key *key,
                             SSL *ssl, SSL_SESSION *session, double now)
{
    const struct openssl *openssl = attachment->callbacks->openssl;
    struct ticket_note note;
    int version = openssl->session_get_protocol_version(session);
    if (!note_of(openssl, session, &note) || memcmp(note.prefix, key->name, TICKET_PREFIX_BYTES) != 0 ||
        version != openssl->version(ssl) || openssl->get_verify_mode(ssl) != attachment->verify_mode ||
        !in_scope(attachment, ssl, session))
        return 0;
    double age_s = now - key->born_at - note.key_age_s;
    double lifetime_s = version <= TLS12 ? keys->lifetime12_s : keys->lifetime13_s;
    age_s = age_s < 0 ? 0 : age_s;
    double born_ms = (now - note.lineage_s - age_s - keys->zero) * 1000;
    uint32_t low = door_maker(attachment->door, note.node, note.node_bytes);
    if (age_s > lifetime_s || age_s > key->lifetime_s || note.lineage_s + age_s > keys->lineage_s || born_ms < 0 ||
        low == 0 || openssl->session_get0_peer(session) != NULL || !is_ordinary(openssl, session) ||
        !is_agreeable(attachment, ssl, openssl->session_get0_cipher(session)))
        return 0;
    return ((uint64_t)born_ms + 1) << TOKEN_BIRTH_SHIFT | low;
}

/* Lets OpenSSL have the session of a ticket; TICKET_ASK, and nothing is done, where it isn't plain. */
static int use_ticket(struct attachment *attachment, const struct ticket_keys *keys, SSL *ssl, SSL_SESSION *session,
                      const uint8_t *name)
{
    const struct callbacks *callbacks = attachment->callbacks;
    const struct openssl *openssl = callbacks->openssl;
    double now = monotonic();
    const struct ticket_key *key = ticket_key_named(keys, name, now);
    uint64_t token = key == NULL ? 0 : judge_ticket(attachment, keys, key, ssl, session, now);
    if (token == 0 || openssl->session_set_ex_data(session, callbacks->token_index, (void *)(uintptr_t)token) != 1)
        return TICKET_ASK;
    openssl->session_set_ex_data(session, callbacks->counted_index, NULL);
    set_note(openssl, session, NULL, 0);
    restart_clock(openssl, ssl, session);
    if (mark_of(callbacks, ssl) < MARK_HIT) /* else it was in the first of two ClientHellos */
        door_count_ticket_opened(attachment->door, now - key->born_at);
    set_mark(callbacks, ssl, (mark)token);
    if (openssl->session_get_protocol_version(session) > TLS12)
        return TICKET_USE_RENEW; /* clients use each once (RFC 8446 section C.4) */
    name_as_asked(openssl, ssl, session);
    door_count_hit(attachment->door, token); /* its resumptions end without a callback */
    return TICKET_USE;
}

int on_ticket_opened(SSL *ssl, SSL_SESSION *session, const uint8_t *name, size_t name_bytes, int status,
                         void *argument)
{
    const struct openssl *openssl = argument;
    struct attachment *attachment = attachment_find(openssl->get_ctx(ssl));
    if (attachment == NULL)
        return TICKET_IGNORE_RENEW;
    const struct callbacks *callbacks = attachment->callbacks;
    bool opened = session != NULL && (status == TICKET_OPENED || status == TICKET_OPENED_RENEW) &&
                  name_bytes == TICKET_NAME_BYTES && !is_apart(mark_of(callbacks, ssl));
    struct ticket_keys *keys = opened ? keys_of(attachment) : NULL;
    int result = keys == NULL ? TICKET_ASK : use_ticket(attachment, keys, ssl, session, name);
    ticket_keys_drop(keys);
    if (result == TICKET_ASK)
        result = ask_ticket_opened(callbacks, ssl, session, name, name_bytes, status);
    attachment_drop(attachment);
    return result;
}
