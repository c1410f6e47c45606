/* What OpenSSL calls back, for ClientHello, session ids, get, new, remove and tickets: on the thread of the handshake, with
 * the interpreter's lock released. The twin of tls/hello.py, tls/pausing.py, tls/minting.py, tls/lookup.py, tls/creation.py
 * and tls/ticket_keys.py, for what is plain: a session without a client certificate, of a VIP that has a door. For all
 * else they take the interpreter's lock and ask those files, whose answer counts; so what C can't judge it never has to.
 *
 * No header of OpenSSL's is used and no struct of its looked into: its public functions come as addresses.
 */
#include "hot.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <sys/random.h>
#endif

/* --- OpenSSL, by its public functions; the objects are its own, and never owned here but where a comment says so --- */

typedef void SSL;
typedef void SSL_CTX;
typedef void SSL_SESSION;
typedef void (*function)(void);

struct openssl {
    function id; /* of SSL_get_SSL_CTX: tells one OpenSSL from another */
    SSL_CTX *(*get_ctx)(const SSL *);
    SSL_CTX *(*set_ctx)(SSL *, SSL_CTX *);
    int (*get_verify_mode)(const SSL *);
    int (*version)(const SSL *);
    int (*session_reused)(const SSL *);
    int (*get_negotiated_server_cert_type)(const SSL *); /* NULL before OpenSSL 3.2 */
    void *(*get1_supported_ciphers)(SSL *);
    void *(*get_ciphers)(const SSL *);
    int (*get_security_level)(const SSL *);
    function (*get_security_callback)(const SSL *);
    int (*cipher_get_kx_nid)(const void *);
    long (*ctx_get_timeout)(const SSL_CTX *);
    uint64_t (*set_options)(SSL *, uint64_t);
    long (*control)(SSL *, int, long, void *);
    int (*set_session_id_context)(SSL *, const uint8_t *, unsigned);
    int (*client_hello_get0_ext)(SSL *, unsigned, const uint8_t **, size_t *);
    size_t (*client_hello_get0_session_id)(SSL *, const uint8_t **);
    int (*set_ex_data)(SSL *, int, void *);
    void *(*get_ex_data)(const SSL *, int);
    int (*find)(void *, void *);
    int (*stack_num)(const void *);
    void *(*stack_value)(const void *, int);
    void (*stack_free)(void *);
    SSL_SESSION *(*decode)(SSL_SESSION **, const uint8_t **, long);
    int (*encode)(SSL_SESSION *, uint8_t **);
    void (*session_free)(SSL_SESSION *);
    const uint8_t *(*session_get_id)(const SSL_SESSION *, unsigned *);
    const uint8_t *(*session_get0_id_context)(const SSL_SESSION *, unsigned *);
    void *(*session_get0_peer)(SSL_SESSION *);
    void *(*session_get0_cipher)(const SSL_SESSION *);
    int (*session_get_protocol_version)(const SSL_SESSION *);
    uint32_t (*session_get_max_early_data)(const SSL_SESSION *);
    uint8_t (*session_get_max_fragment_length)(const SSL_SESSION *);
    unsigned (*session_get_compress_id)(const SSL_SESSION *);
    void *(*session_get0_peer_rpk)(const SSL_SESSION *); /* NULL before OpenSSL 3.2 */
    long (*session_set_time)(SSL_SESSION *, long);
    long (*session_set_timeout)(SSL_SESSION *, long);
    int (*session_set1_hostname)(SSL_SESSION *, const char *);
    int (*session_get0_ticket_appdata)(SSL_SESSION *, void **, size_t *);
    int (*session_set1_ticket_appdata)(SSL_SESSION *, const void *, size_t);
    void *(*session_get_ex_data)(const SSL_SESSION *, int);
    int (*session_set_ex_data)(SSL_SESSION *, int, void *);
    void (*clear_error)(void);
    SSL_SESSION *(*get_session)(const SSL *);
    int (*mac_init)(void *, const uint8_t *, size_t, const void *);
    int (*encrypt_init)(void *, const void *, void *, const uint8_t *, const uint8_t *);
    int (*decrypt_init)(void *, const void *, void *, const uint8_t *, const uint8_t *);
};

struct symbol {
    const char *name;
    size_t place;
};

static const struct symbol symbols[] = {
    {"SSL_get_SSL_CTX", offsetof(struct openssl, get_ctx)},
    {"SSL_set_SSL_CTX", offsetof(struct openssl, set_ctx)},
    {"SSL_get_verify_mode", offsetof(struct openssl, get_verify_mode)},
    {"SSL_version", offsetof(struct openssl, version)},
    {"SSL_session_reused", offsetof(struct openssl, session_reused)},
    {"SSL_get1_supported_ciphers", offsetof(struct openssl, get1_supported_ciphers)},
    {"SSL_get_ciphers", offsetof(struct openssl, get_ciphers)},
    {"SSL_get_security_level", offsetof(struct openssl, get_security_level)},
    {"SSL_get_security_callback", offsetof(struct openssl, get_security_callback)},
    {"SSL_CIPHER_get_kx_nid", offsetof(struct openssl, cipher_get_kx_nid)},
    {"SSL_CTX_get_timeout", offsetof(struct openssl, ctx_get_timeout)},
    {"SSL_set_options", offsetof(struct openssl, set_options)},
    {"SSL_ctrl", offsetof(struct openssl, control)},
    {"SSL_set_session_id_context", offsetof(struct openssl, set_session_id_context)},
    {"SSL_client_hello_get0_ext", offsetof(struct openssl, client_hello_get0_ext)},
    {"SSL_client_hello_get0_session_id", offsetof(struct openssl, client_hello_get0_session_id)},
    {"SSL_set_ex_data", offsetof(struct openssl, set_ex_data)},
    {"SSL_get_ex_data", offsetof(struct openssl, get_ex_data)},
    {"OPENSSL_sk_find", offsetof(struct openssl, find)},
    {"OPENSSL_sk_num", offsetof(struct openssl, stack_num)},
    {"OPENSSL_sk_value", offsetof(struct openssl, stack_value)},
    {"OPENSSL_sk_free", offsetof(struct openssl, stack_free)},
    {"d2i_SSL_SESSION", offsetof(struct openssl, decode)},
    {"i2d_SSL_SESSION", offsetof(struct openssl, encode)},
    {"SSL_SESSION_free", offsetof(struct openssl, session_free)},
    {"SSL_SESSION_get_id", offsetof(struct openssl, session_get_id)},
    {"SSL_SESSION_get0_id_context", offsetof(struct openssl, session_get0_id_context)},
    {"SSL_SESSION_get0_peer", offsetof(struct openssl, session_get0_peer)},
    {"SSL_SESSION_get0_cipher", offsetof(struct openssl, session_get0_cipher)},
    {"SSL_SESSION_get_protocol_version", offsetof(struct openssl, session_get_protocol_version)},
    {"SSL_SESSION_get_max_early_data", offsetof(struct openssl, session_get_max_early_data)},
    {"SSL_SESSION_get_max_fragment_length", offsetof(struct openssl, session_get_max_fragment_length)},
    {"SSL_SESSION_get_compress_id", offsetof(struct openssl, session_get_compress_id)},
    {"SSL_SESSION_set_time", offsetof(struct openssl, session_set_time)},
    {"SSL_SESSION_set_timeout", offsetof(struct openssl, session_set_timeout)},
    {"SSL_SESSION_get0_ticket_appdata", offsetof(struct openssl, session_get0_ticket_appdata)},
    {"SSL_SESSION_set1_ticket_appdata", offsetof(struct openssl, session_set1_ticket_appdata)},
    {"SSL_SESSION_get_ex_data", offsetof(struct openssl, session_get_ex_data)},
    {"SSL_SESSION_set1_hostname", offsetof(struct openssl, session_set1_hostname)},
    {"SSL_SESSION_set_ex_data", offsetof(struct openssl, session_set_ex_data)},
    {"ERR_clear_error", offsetof(struct openssl, clear_error)},
    {"SSL_get_session", offsetof(struct openssl, get_session)},
    {"EVP_MAC_init", offsetof(struct openssl, mac_init)},
    {"EVP_EncryptInit_ex", offsetof(struct openssl, encrypt_init)},
    {"EVP_DecryptInit_ex", offsetof(struct openssl, decrypt_init)},
};

/* May be missing, as in `NEWER` of tls/functions.py. */
static const struct symbol newer_symbols[] = {
    {"SSL_get_negotiated_server_cert_type", offsetof(struct openssl, get_negotiated_server_cert_type)},
    {"SSL_SESSION_get0_peer_rpk", offsetof(struct openssl, session_get0_peer_rpk)},
};

enum { CLIENT_HELLO_ERROR = 0, CLIENT_HELLO_SUCCESS = 1, CLIENT_HELLO_RETRY = -1, UNRECOGNIZED_NAME = 112 };
enum { EXT_SERVER_NAME = 0, EXT_PRE_SHARED_KEY = 41, TLS12 = 0x0303, TLS13 = 0x0304 };

enum { KX_RSA = 1037, KX_ECDHE = 1038, KX_DHE = 1039, KX_ANY = 1063 }; /* NID_kx_… of <openssl/obj_mac.h> */

/* What is noted on a connection, in its ex_data; tls/state.py says what for. From MARK_HIT on it is a token. */
typedef uintptr_t mark;
enum { MARK_NONE, MARK_APART, MARK_ASKED, MARK_REFUSED, MARK_APART_REFUSED, MARK_FOREIGN, MARK_HIT = 16 };

/* Whether a handshake is or was paused, as tls/pausing.py notes it; a paused one is that file's to look at. */
enum { PAUSE_NONE, PAUSE_PAUSED, PAUSE_OVER, PAUSE_PULLED };

/* How clients resume, as tls/state.py has it. */
enum mode { MODE_SESSIONS, MODE_TICKETS, MODE_BOTH };

enum { OP_NO_TICKET = 1 << 14, OP_NO_TLSV1_3 = 1 << 29, GET_MIN_PROTO_VERSION = 130, GET_MAX_PROTO_VERSION = 131 };
enum { EXT_SUPPORTED_VERSIONS = 43, AGREED_MAX = 8 };

/* --- attachments --- */

/* The callbacks of one tls.callbacks.Callbacks. Never freed: a connection can end with the process. */
struct callbacks {
    const struct openssl *openssl;
    const void *ticket_cipher, *ticket_mac; /* AES-256-CBC, and the parameters that make an HMAC one of SHA-256; kept for ever */
    int token_index, counted_index, mark_index, pause_index, listening_index;
    /* owned; what Python is asked by */
    PyObject *scope, *get, *new, *remove, *made, *ticket_key, *ticket_made, *ticket_opened, *paused, *used;
};

/* A context's place in a VIP. Never changes, but for the two Python objects, which go, under the interpreter's lock, when
 * it leaves the registry. Freed by the last of its owners: the registry, and each callback that is in it. */
struct attachment {
    struct attachment *next; /* in its bucket */
    atomic_int owners;
    const SSL_CTX *ctx; /* not owned: a key */
    struct callbacks *callbacks;
    int verify_mode;
    enum mode mode;
    bool pauses;           /* whoever drives its handshakes knows what to do when one is paused */
    struct door *door;     /* owned; NULL: everything is asked */
    struct scopes *scopes; /* owned */
    struct names *names;   /* owned; NULL: it serves whatever name is asked for by itself */
    PyObject *attached, *scopes_object; /* owned while it is in the registry, then NULL */
    atomic_ullong agreed[AGREED_MAX];   /* ciphers that connections of it agreed to, as `agreement` tells of them */
};

enum { BUCKETS = 1024, REGISTRY_LOCKS = 64 };

static struct attachment *buckets[BUCKETS];
static pthread_mutex_t registry_locks[REGISTRY_LOCKS];
static atomic_bool closing; /* the interpreter is ending: nobody is asked any more */

static size_t bucket_of(const SSL_CTX *ctx)
{
    return (size_t)(((uint64_t)(uintptr_t)ctx * 0x9E3779B97F4A7C15u) >> 54);
}

static pthread_mutex_t *lock_of(size_t bucket)
{
    return &registry_locks[bucket % REGISTRY_LOCKS];
}

static struct attachment *find_attachment(const SSL_CTX *ctx)
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

static void let_go(struct attachment *attachment)
{
    if (atomic_fetch_sub(&attachment->owners, 1) != 1)
        return;
    door_drop(attachment->door);
    scopes_drop(attachment->scopes);
    names_drop(attachment->names);
    free(attachment);
}

/* Puts an attachment into the registry, or with NULL takes away the one that is there. With the interpreter's lock. */
static bool replace_attachment(const SSL_CTX *ctx, struct attachment *fresh)
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
    let_go(former);
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

/* --- asking Python: with its lock, and with whatever exception was on its way put aside --- */

struct asking {
    PyGILState_STATE state;
    PyObject *type, *value, *trace;
};

static bool begin_asking(struct asking *asking)
{
    if (atomic_load(&closing))
        return false;
    asking->state = PyGILState_Ensure();
    PyErr_Fetch(&asking->type, &asking->value, &asking->trace);
    return true;
}

/* Ctrl-C and SystemExit are the program's: they are raised again where its own code goes on in this thread. */
static void end_asking(struct asking *asking)
{
    PyObject *raised = PyErr_Occurred();
    if (raised != NULL && !PyErr_GivenExceptionMatches(raised, PyExc_Exception))
        PyThreadState_SetAsyncExc(PyThread_get_thread_ident(), raised);
    PyErr_Clear();
    PyErr_Restore(asking->type, asking->value, asking->trace);
    PyGILState_Release(asking->state);
}

/* The session id context for a server_name extension that isn't remembered; false: it shares nothing. */
static bool ask_scope(struct attachment *attachment, const uint8_t *extension, size_t bytes, uint8_t *context)
{
    struct asking asking;
    if (!begin_asking(&asking))
        return false;
    bool given = false, fault = true;
    if (attachment->attached != NULL) {
        PyObject *attached = attachment->attached, *scopes = attachment->scopes_object;
        Py_INCREF(attached);
        Py_INCREF(scopes);
        const char *data = (const char *)extension; /* NULL becomes None */
        PyObject *answer = PyObject_CallFunction(attachment->callbacks->scope, "OOy#", attached, scopes, data,
                                                 (Py_ssize_t)bytes);
        if (answer != NULL && PyBytes_Check(answer) && PyBytes_Size(answer) == CONTEXT_BYTES) {
            memcpy(context, PyBytes_AsString(answer), CONTEXT_BYTES);
            given = true;
        }
        fault = answer == NULL || (!given && answer != Py_None);
        Py_XDECREF(answer);
        Py_DECREF(scopes);
        Py_DECREF(attached);
    }
    end_asking(&asking);
    if (!fault)
        scopes_remember(attachment->scopes, extension, bytes, given ? context : NULL);
    return given;
}

static SSL_SESSION *ask_get(struct callbacks *callbacks, SSL *ssl, const uint8_t *id, size_t id_bytes)
{
    struct asking asking;
    if (!begin_asking(&asking))
        return NULL;
    PyObject *answer = PyObject_CallFunction(callbacks->get, "Ky#", (unsigned long long)(uintptr_t)ssl,
                                             (const char *)id, (Py_ssize_t)id_bytes);
    unsigned long long session = answer == NULL ? 0 : PyLong_AsUnsignedLongLong(answer);
    if (PyErr_Occurred())
        session = 0;
    Py_XDECREF(answer);
    end_asking(&asking);
    return (SSL_SESSION *)(uintptr_t)session;
}

static void tell(PyObject *whom, const void *first, const void *second)
{
    struct asking asking;
    if (!begin_asking(&asking))
        return;
    PyObject *answer = PyObject_CallFunction(whom, "KK", (unsigned long long)(uintptr_t)first,
                                             (unsigned long long)(uintptr_t)second);
    Py_XDECREF(answer);
    end_asking(&asking);
}

static void tell_made(struct attachment *attachment)
{
    struct asking asking;
    if (!begin_asking(&asking))
        return;
    if (attachment->attached != NULL) {
        PyObject *attached = attachment->attached;
        Py_INCREF(attached);
        Py_XDECREF(PyObject_CallFunction(attachment->callbacks->made, "O", attached));
        Py_DECREF(attached);
    }
    end_asking(&asking);
}

static void tell_used(struct attachment *attachment, const uint8_t *id, size_t id_bytes)
{
    struct asking asking;
    if (!begin_asking(&asking))
        return;
    if (attachment->attached != NULL) {
        PyObject *attached = attachment->attached;
        Py_INCREF(attached);
        Py_XDECREF(PyObject_CallFunction(attachment->callbacks->used, "Oy#", attached, (const char *)id,
                                         (Py_ssize_t)id_bytes));
        Py_DECREF(attached);
    }
    end_asking(&asking);
}

/* --- ClientHello: gives each connection the session id context of its VIP and server name --- */

static void set_mark(const struct callbacks *callbacks, SSL *ssl, mark fresh)
{
    callbacks->openssl->set_ex_data(ssl, callbacks->mark_index, (void *)fresh);
}

static mark mark_of(const struct callbacks *callbacks, const SSL *ssl)
{
    return (mark)callbacks->openssl->get_ex_data(ssl, callbacks->mark_index);
}

static bool is_apart(mark now)
{
    return now == MARK_APART || now == MARK_APART_REFUSED;
}

/* A context that nobody else has: what the connection makes resumes nowhere, and is not kept. */
static void set_apart(const struct callbacks *callbacks, SSL *ssl)
{
    uint8_t context[CONTEXT_BYTES];
    if (mark_of(callbacks, ssl) != MARK_APART_REFUSED)
        set_mark(callbacks, ssl, MARK_APART);
    if (getentropy(context, sizeof context) == 0)
        callbacks->openssl->set_session_id_context(ssl, context, CONTEXT_BYTES);
}

/* The server_name extension of the ClientHello; NULL: it has none. */
static const uint8_t *server_name_of(const struct openssl *openssl, SSL *ssl, size_t *bytes)
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
        listener = find_attachment(listening);
    if (listener == NULL || listener->names == NULL) {
        if (listening != NULL) /* it has left between the two: the SNI callback chooses */
            openssl->set_ex_data(ssl, callbacks->listening_index, NULL);
        if (listener != NULL && listener != attachment)
            let_go(listener);
        return attachment;
    }
    size_t bytes = 0;
    const uint8_t *extension = server_name_of(openssl, ssl, &bytes);
    const SSL_CTX *chosen = NULL;
    *refused = names_move(listener->names, extension, bytes, ssl, listener->ctx, openssl->get_ctx, openssl->set_ctx,
                          &chosen) == NAMED_REFUSED;
    openssl->set_ex_data(ssl, callbacks->listening_index, (void *)(uintptr_t)listener->ctx);
    struct attachment *found = *refused ? NULL : find_attachment(chosen);
    if (listener != attachment)
        let_go(listener);
    let_go(attachment);
    return found;
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
    /* A second ClientHello may have another name; what was refused or missed at the first one it goes on being. */
    mark former = mark_of(callbacks, ssl);
    if (is_apart(former) || former >= MARK_HIT)
        set_mark(callbacks, ssl, MARK_NONE);
    return true;
}

/* Whether the connection will be one of TLS 1.3: the twin of tls/hello.py. */
static bool offers_tls13(const struct openssl *openssl, SSL *ssl)
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

/* --- pausing: the twin of tls/pausing.py --- */

enum { OFFERED_MAX = 4, PSK_BYTES_MAX = 16 * 1024 }; /* tls.pausing.IDS_MAX, _PSK_BYTES_MAX */

/* Ids that a client may resume with; they lie in its ClientHello. */
struct offered {
    const uint8_t *ids[OFFERED_MAX];
    int count;
};

/* The identities of a pre_shared_key extension that are as long as an id. */
static void read_identities(const uint8_t *data, size_t bytes, struct offered *offered)
{
    if (bytes > PSK_BYTES_MAX)
        bytes = PSK_BYTES_MAX;
    if (bytes < 2)
        return;
    size_t end = 2 + (size_t)(data[0] << 8 | data[1]), at = 2;
    if (end > bytes)
        end = bytes;
    while (at + 2 <= end && offered->count < OFFERED_MAX) {
        size_t size = (size_t)(data[at] << 8 | data[at + 1]);
        if (size == ID_BYTES_MAX && at + 2 + size <= end)
            offered->ids[offered->count++] = data + at + 2;
        at += 2 + size + 4;
    }
}

static void read_offered(const struct openssl *openssl, SSL *ssl, struct offered *offered)
{
    const uint8_t *data = NULL;
    size_t bytes = 0;
    if (!offers_tls13(openssl, ssl)) { /* else its session id is for middleboxes (RFC 8446 section 4.1.2) */
        if (openssl->client_hello_get0_session_id(ssl, &data) == ID_BYTES_MAX)
            offered->ids[offered->count++] = data;
    } else if (openssl->client_hello_get0_ext(ssl, EXT_PRE_SHARED_KEY, &data, &bytes)) {
        read_identities(data, bytes, offered);
    }
}

static bool ask_paused(struct attachment *attachment, SSL *ssl, const struct offered *offered)
{
    struct asking asking;
    if (!begin_asking(&asking))
        return false;
    bool paused = false;
    if (attachment->attached != NULL) {
        PyObject *attached = attachment->attached, *ids = PyTuple_New(offered->count), *answer = NULL;
        Py_INCREF(attached);
        bool whole = ids != NULL;
        for (int at = 0; whole && at < offered->count; at++) {
            PyObject *id = PyBytes_FromStringAndSize((const char *)offered->ids[at], ID_BYTES_MAX);
            whole = id != NULL && PyTuple_SetItem(ids, at, id) == 0; /* which takes the id over */
        }
        if (whole)
            answer = PyObject_CallFunction(attachment->callbacks->paused, "KOO", (unsigned long long)(uintptr_t)ssl,
                                           attached, ids);
        paused = answer == Py_True;
        Py_XDECREF(answer);
        Py_XDECREF(ids);
        Py_DECREF(attached);
    }
    end_asking(&asking);
    return paused;
}

/* Whether the handshake waits for a session that isn't in memory. Asks nobody where one of those offered is. */
static bool pauses(struct attachment *attachment, SSL *ssl)
{
    const struct callbacks *callbacks = attachment->callbacks;
    struct offered offered = {.count = 0};
    if (!attachment->pauses || attachment->mode == MODE_TICKETS || attachment->door == NULL ||
        !door_asks(attachment->door))
        return false;
    uintptr_t state = (uintptr_t)callbacks->openssl->get_ex_data(ssl, callbacks->pause_index);
    if (state == PAUSE_PAUSED)
        return ask_paused(attachment, ssl, &offered);
    if (state != PAUSE_NONE)
        return false;
    read_offered(callbacks->openssl, ssl, &offered);
    for (int at = 0; at < offered.count; at++)
        if (door_holds(attachment->door, offered.ids[at], ID_BYTES_MAX))
            return false;
    int minted = 0;
    for (int at = 0; at < offered.count; at++) /* a stranger's id costs this check, and nothing else */
        if (door_minted(attachment->door, offered.ids[at], ID_BYTES_MAX))
            offered.ids[minted++] = offered.ids[at];
    offered.count = minted;
    return minted > 0 && ask_paused(attachment, ssl, &offered);
}

static int on_hello(SSL *ssl, int *alert, const SSL_CTX *ctx)
{
    struct attachment *attachment = find_attachment(ctx);
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
    int result = give_scope(attachment, ssl) && pauses(attachment, ssl) ? CLIENT_HELLO_RETRY : CLIENT_HELLO_SUCCESS;
    let_go(attachment);
    return result;
}

/* --- get: a session id from a client becomes a session object, which OpenSSL then owns, or a miss --- */

/* Whether a session remembers nothing but what its scope says: the twin of tls/ordinary.py, which gives the reasons. */
static bool ordinary(const struct openssl *openssl, SSL_SESSION *session)
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

/* Whether the connection would agree to the cipher: it may be listed, and below the security level. OpenSSL makes a list
 * to say so, so that it agreed is remembered for connections that are set up alike. */
static bool agreeable(struct attachment *attachment, SSL *ssl, void *cipher)
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

/* Takes away what the DER says of time, by another machine's clock: the door looked at the age. */
static void restart_clock(const struct openssl *openssl, SSL *ssl, SSL_SESSION *session)
{
    openssl->session_set_time(session, (long)time(NULL));
    openssl->session_set_timeout(session, openssl->ctx_get_timeout(openssl->get_ctx(ssl)));
}

/* Lets SSL_get_servername(3) tell what this client asked for: the twin of tls/lookup.py's name_as_asked. */
static void name_as_asked(const struct openssl *openssl, SSL *ssl, SSL_SESSION *session)
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
           openssl->session_get_protocol_version(session) == openssl->version(ssl) && ordinary(openssl, session) &&
           agreeable(attachment, ssl, openssl->session_get0_cipher(session));
}

static void mark_lineage(const struct openssl *openssl, SSL_SESSION *session);

/* Notes on a session of TLS 1.3 under which id it was found, behind its lineage, where it is good for one handshake only:
 * the twin of tls/single_use.py. False where that can't be noted: it isn't to be given then. */
static bool mark_use(const struct attachment *attachment, SSL_SESSION *session, const uint8_t *id, size_t id_bytes)
{
    const struct openssl *openssl = attachment->callbacks->openssl;
    uint8_t note[LINEAGE_BYTES + ID_BYTES_MAX];
    void *data = NULL;
    size_t bytes = 0;
    if (openssl->session_get_protocol_version(session) != TLS13 || !door_marks(attachment->door))
        return true;
    mark_lineage(openssl, session);
    if (id_bytes != ID_BYTES_MAX || openssl->session_get0_ticket_appdata(session, &data, &bytes) != 1 ||
        bytes < LINEAGE_BYTES)
        return false;
    memcpy(note, data, LINEAGE_BYTES); /* which the next call frees */
    memcpy(note + LINEAGE_BYTES, id, ID_BYTES_MAX);
    return openssl->session_set1_ticket_appdata(session, note, sizeof note) == 1;
}

/* Tells which session a new one follows on, and takes the note of it away: its handshake has ended. */
static void tell_use(struct attachment *attachment, SSL_SESSION *session)
{
    const struct openssl *openssl = attachment->callbacks->openssl;
    uint8_t note[LINEAGE_BYTES + ID_BYTES_MAX];
    void *data = NULL;
    size_t bytes = 0;
    if (openssl->session_get_protocol_version(session) != TLS13 || attachment->mode == MODE_TICKETS ||
        openssl->session_get0_ticket_appdata(session, &data, &bytes) != 1 || bytes != sizeof note)
        return;
    memcpy(note, data, sizeof note);
    openssl->session_set1_ticket_appdata(session, note, LINEAGE_BYTES);
    tell_used(attachment, note + LINEAGE_BYTES, ID_BYTES_MAX);
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

static SSL_SESSION *on_get(const struct openssl *openssl, SSL *ssl, const uint8_t *id, int id_bytes, int *copy)
{
    *copy = 0;
    struct attachment *attachment = find_attachment(openssl->get_ctx(ssl));
    if (attachment == NULL)
        return NULL;
    SSL_SESSION *session = NULL;
    /* It may share nothing, or ask more of its clients than its scope says, or less: Python says so, and counts it. */
    bool alike = !is_apart(mark_of(attachment->callbacks, ssl)) &&
                 openssl->get_verify_mode(ssl) == attachment->verify_mode;
    if (id_bytes > 0)
        session = alike ? look_for(attachment, ssl, id, (size_t)id_bytes)
                        : ask_get(attachment->callbacks, ssl, id, (size_t)id_bytes);
    let_go(attachment);
    return session;
}

/* --- new: a session that OpenSSL made is filed --- */

/* Whether a session is one that may be kept and needs no question. */
static bool plain(struct attachment *attachment, const SSL *ssl, SSL_SESSION *session)
{
    const struct openssl *openssl = attachment->callbacks->openssl;
    unsigned bytes = 0;
    const uint8_t *context = openssl->session_get0_id_context(session, &bytes);
    int version = openssl->session_get_protocol_version(session);
    return bytes == CONTEXT_BYTES && scopes_gave(attachment->scopes, context) &&
           openssl->get_verify_mode(ssl) == attachment->verify_mode && (version == TLS12 || version == TLS13) &&
           ordinary(openssl, session) && openssl->session_get0_peer(session) == NULL &&
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

/* Counts a handshake once: a further ticket on the connection is a copy of the first one's session, and so of this. */
static void count(struct attachment *attachment, SSL *ssl, SSL_SESSION *session, uint64_t token)
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

/* Marks the lineage of a session, unless it is marked: the twin of tls/lineage.py. */
static void mark_lineage(const struct openssl *openssl, SSL_SESSION *session)
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
        count(attachment, ssl, session, token);
        if (token != 0)
            tell_use(attachment, session);
        if (!is_for_cache(attachment, ssl, session))
            return;
        if (plain(attachment, ssl, session))
            kept = keep_plain(attachment, session, token);
    }
    if (kept == KEPT_ASK)
        tell(callbacks->new, ssl, session);
    if (kept == KEPT_PUBLISH)
        tell_made(attachment);
}

static int on_new(const struct openssl *openssl, SSL *ssl, SSL_SESSION *session)
{
    struct attachment *attachment = find_attachment(openssl->get_ctx(ssl));
    if (attachment != NULL) {
        file_session(attachment, ssl, session);
        let_go(attachment);
    }
    return 0; /* 1 would mean that we keep a reference to the session object */
}

/* --- ids: a new session's says who made it, and when --- */

static int on_generate(const struct openssl *openssl, const SSL *ssl, uint8_t *id, unsigned *bytes)
{
    struct attachment *attachment = find_attachment(openssl->get_ctx(ssl));
    /* A ticket's is looked up nowhere. */
    bool made = attachment != NULL && attachment->mode != MODE_TICKETS && attachment->door != NULL &&
                *bytes == ID_BYTES_MAX && door_mint(attachment->door, id);
    if (!made)
        made = *bytes <= ID_BYTES_MAX && getentropy(id, *bytes) == 0; /* an id as OpenSSL makes them */
    if (attachment != NULL)
        let_go(attachment);
    return made; /* 0 ends the handshake: without randomness there is none anyway */
}

/* --- remove: OpenSSL dropped a session, at an unclean close or a fatal alert --- */

static void on_remove(SSL_CTX *ctx, SSL_SESSION *session)
{
    struct attachment *attachment = find_attachment(ctx);
    if (attachment != NULL) {
        tell(attachment->callbacks->remove, ctx, session);
        let_go(attachment);
    }
}

/* --- tickets: which key, what is noted in one, what may be used of one: the twin of tls/tickets.py. What isn't plain is
 * asked there, and so is every no --- */

enum { TICKET_NO_KEY = 0, TICKET_GO_ON = 1, TICKET_IGNORE_RENEW = 2, TICKET_USE = 3, TICKET_USE_RENEW = 4 };
enum { TICKET_ASK = -100 };                             /* of ours: Python answers */
enum { TICKET_OPENED = 5, TICKET_OPENED_RENEW = 6 };    /* SSL_TICKET_SUCCESS, SSL_TICKET_SUCCESS_RENEW */
enum { TICKET_IV_BYTES = 16, TOKEN_BIRTH_SHIFT = 18 };  /* the latter as in door.c */

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

static int on_ticket_key(const struct openssl *openssl, SSL *ssl, uint8_t *name, uint8_t *iv, void *cipher, void *mac,
                         int encrypting)
{
    struct attachment *attachment = find_attachment(openssl->get_ctx(ssl));
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
    let_go(attachment);
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
    if (session == NULL || key == NULL || !plain(attachment, ssl, session))
        return false;
    mark_lineage(openssl, session);
    uint64_t token = (uintptr_t)openssl->session_get_ex_data(session, callbacks->token_index);
    if (token == 0 && openssl->session_reused(ssl))
        return false; /* by a PSK callback of the application's */
    if (token == 0 || openssl->session_get_protocol_version(session) > TLS12)
        count(attachment, ssl, session, token);
    double lineage_s = token == 0 ? 0 : now - (keys->zero + (double)(token >> TOKEN_BIRTH_SHIFT) / 1000);
    uint8_t note[TICKET_NOTE_MAX];
    size_t bytes = ticket_note_write(keys, key, lineage_s, now, note);
    return set_note(openssl, session, note, bytes);
}

static int ticket_made(SSL *ssl, void *argument)
{
    const struct openssl *openssl = argument;
    struct attachment *attachment = find_attachment(openssl->get_ctx(ssl));
    if (attachment == NULL)
        return TICKET_GO_ON;
    int result = TICKET_GO_ON;
    if ((openssl->set_options(ssl, 0) & OP_NO_TICKET) == 0) { /* else a session for the cache, in the shape of a ticket */
        struct ticket_keys *keys = keys_of(attachment);
        if (keys == NULL || !note_plain(attachment, keys, ssl))
            result = ask_ticket_made(attachment->callbacks, ssl);
        ticket_keys_drop(keys);
    }
    let_go(attachment);
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
        low == 0 || openssl->session_get0_peer(session) != NULL || !ordinary(openssl, session) ||
        !agreeable(attachment, ssl, openssl->session_get0_cipher(session)))
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
    set_mark(callbacks, ssl, (mark)token);
    door_count_ticket_opened(attachment->door, now - key->born_at);
    if (openssl->session_get_protocol_version(session) > TLS12)
        return TICKET_USE_RENEW; /* clients use each once (RFC 8446 section C.4) */
    name_as_asked(openssl, ssl, session);
    door_count_hit(attachment->door, token); /* its resumptions end without a callback */
    return TICKET_USE;
}

static int ticket_opened(SSL *ssl, SSL_SESSION *session, const uint8_t *name, size_t name_bytes, int status,
                         void *argument)
{
    const struct openssl *openssl = argument;
    struct attachment *attachment = find_attachment(openssl->get_ctx(ssl));
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
    let_go(attachment);
    return result;
}

/* --- one set of functions for each OpenSSL in the process, since get and new aren't told which one calls --- */

enum { LIBRARIES_MAX = 4 };

static struct openssl libraries[LIBRARIES_MAX];

static int hello(SSL *ssl, int *alert, void *ctx)
{
    return on_hello(ssl, alert, ctx);
}

static void removed(SSL_CTX *ctx, SSL_SESSION *session)
{
    on_remove(ctx, session);
}

static SSL_SESSION *get_0(SSL *ssl, const uint8_t *id, int bytes, int *copy)
{
    return on_get(&libraries[0], ssl, id, bytes, copy);
}

static SSL_SESSION *get_1(SSL *ssl, const uint8_t *id, int bytes, int *copy)
{
    return on_get(&libraries[1], ssl, id, bytes, copy);
}

static SSL_SESSION *get_2(SSL *ssl, const uint8_t *id, int bytes, int *copy)
{
    return on_get(&libraries[2], ssl, id, bytes, copy);
}

static SSL_SESSION *get_3(SSL *ssl, const uint8_t *id, int bytes, int *copy)
{
    return on_get(&libraries[3], ssl, id, bytes, copy);
}

static int new_0(SSL *ssl, SSL_SESSION *session)
{
    return on_new(&libraries[0], ssl, session);
}

static int new_1(SSL *ssl, SSL_SESSION *session)
{
    return on_new(&libraries[1], ssl, session);
}

static int new_2(SSL *ssl, SSL_SESSION *session)
{
    return on_new(&libraries[2], ssl, session);
}

static int new_3(SSL *ssl, SSL_SESSION *session)
{
    return on_new(&libraries[3], ssl, session);
}

static int generate_0(const SSL *ssl, uint8_t *id, unsigned *bytes)
{
    return on_generate(&libraries[0], ssl, id, bytes);
}

static int generate_1(const SSL *ssl, uint8_t *id, unsigned *bytes)
{
    return on_generate(&libraries[1], ssl, id, bytes);
}

static int generate_2(const SSL *ssl, uint8_t *id, unsigned *bytes)
{
    return on_generate(&libraries[2], ssl, id, bytes);
}

static int generate_3(const SSL *ssl, uint8_t *id, unsigned *bytes)
{
    return on_generate(&libraries[3], ssl, id, bytes);
}

static int ticket_key_0(SSL *ssl, uint8_t *name, uint8_t *iv, void *cipher, void *mac, int encrypting)
{
    return on_ticket_key(&libraries[0], ssl, name, iv, cipher, mac, encrypting);
}

static int ticket_key_1(SSL *ssl, uint8_t *name, uint8_t *iv, void *cipher, void *mac, int encrypting)
{
    return on_ticket_key(&libraries[1], ssl, name, iv, cipher, mac, encrypting);
}

static int ticket_key_2(SSL *ssl, uint8_t *name, uint8_t *iv, void *cipher, void *mac, int encrypting)
{
    return on_ticket_key(&libraries[2], ssl, name, iv, cipher, mac, encrypting);
}

static int ticket_key_3(SSL *ssl, uint8_t *name, uint8_t *iv, void *cipher, void *mac, int encrypting)
{
    return on_ticket_key(&libraries[3], ssl, name, iv, cipher, mac, encrypting);
}

static int (*const ticket_keys[LIBRARIES_MAX])(SSL *, uint8_t *, uint8_t *, void *, void *, int) = {
    ticket_key_0, ticket_key_1, ticket_key_2, ticket_key_3};
static SSL_SESSION *(*const gets[LIBRARIES_MAX])(SSL *, const uint8_t *, int, int *) = {get_0, get_1, get_2, get_3};
static int (*const news[LIBRARIES_MAX])(SSL *, SSL_SESSION *) = {new_0, new_1, new_2, new_3};
static int (*const generators[LIBRARIES_MAX])(const SSL *, uint8_t *, unsigned *) = {generate_0, generate_1, generate_2,
                                                                                     generate_3};

/* Puts the address of a function into its place, which stays NULL where the library lacks it; false with an error set. */
static bool take_function(struct openssl *openssl, PyObject *addresses, const struct symbol *symbol)
{
    PyObject *number = PyMapping_GetItemString(addresses, symbol->name);
    unsigned long long address = number == NULL ? 0 : PyLong_AsUnsignedLongLong(number);
    Py_XDECREF(number);
    if (PyErr_Occurred())
        return false;
    uintptr_t value = (uintptr_t)address;
    memcpy((char *)openssl + symbol->place, &value, sizeof value);
    return true;
}

/* Fills `openssl` with the addresses of its functions; false with an error set. */
static bool take_functions(struct openssl *openssl, PyObject *addresses)
{
    for (size_t at = 0; at < sizeof symbols / sizeof *symbols; at++) {
        if (!take_function(openssl, addresses, &symbols[at]))
            return false;
        uintptr_t value;
        memcpy(&value, (char *)openssl + symbols[at].place, sizeof value);
        if (value == 0) {
            PyErr_SetString(PyExc_ValueError, symbols[at].name);
            return false;
        }
    }
    for (size_t at = 0; at < sizeof newer_symbols / sizeof *newer_symbols; at++)
        if (!take_function(openssl, addresses, &newer_symbols[at]))
            return false;
    openssl->id = (function)openssl->get_ctx;
    return true;
}

/* The place of this OpenSSL among those of the process; -1 with an error set. With the interpreter's lock. */
static int place_of(PyObject *addresses)
{
    struct openssl openssl;
    memset(&openssl, 0, sizeof openssl);
    if (!take_functions(&openssl, addresses))
        return -1;
    for (int at = 0; at < LIBRARIES_MAX; at++) {
        if (libraries[at].id == openssl.id)
            return at;
        if (libraries[at].id == NULL) {
            libraries[at] = openssl;
            return at;
        }
    }
    PyErr_SetString(PyExc_RuntimeError, "more OpenSSLs in one process than there is room for");
    return -1;
}

/* --- the Python type --- */

typedef struct {
    PyObject_HEAD
    struct callbacks *callbacks; /* not owned: it stays for ever */
    int place;
} CallbacksObject;

PyTypeObject *callbacks_type;

static PyObject *callbacks_make(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"addresses", "token_index", "counted_index", "mark_index",  "scope",         "get",         "new",
                            "remove",    "made",        "ticket_key",    "ticket_made", "ticket_opened", "pause_index",
                            "paused",    "listening_index", "ticket_cipher", "ticket_mac", "used", NULL};
    unsigned long long ticket_cipher, ticket_mac;
    struct callbacks made;
    PyObject *addresses;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OiiiOOOOOOOOiOiKKO:Callbacks", names, &addresses, &made.token_index,
                                     &made.counted_index, &made.mark_index, &made.scope, &made.get, &made.new,
                                     &made.remove, &made.made, &made.ticket_key, &made.ticket_made,
                                     &made.ticket_opened, &made.pause_index, &made.paused,
                                     &made.listening_index, &ticket_cipher, &ticket_mac, &made.used))
        return NULL;
    made.ticket_cipher = (const void *)(uintptr_t)ticket_cipher;
    made.ticket_mac = (const void *)(uintptr_t)ticket_mac;
    int place = place_of(addresses);
    if (place < 0)
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *self = allocate(type, 0);
    struct callbacks *callbacks = self == NULL ? NULL : malloc(sizeof *callbacks);
    if (callbacks == NULL) {
        Py_XDECREF(self);
        return PyErr_NoMemory();
    }
    made.openssl = &libraries[place];
    *callbacks = made;
    Py_INCREF(made.scope);
    Py_INCREF(made.get);
    Py_INCREF(made.new);
    Py_INCREF(made.remove);
    Py_INCREF(made.made);
    Py_INCREF(made.ticket_key);
    Py_INCREF(made.ticket_made);
    Py_INCREF(made.ticket_opened);
    Py_INCREF(made.paused);
    Py_INCREF(made.used);
    ((CallbacksObject *)self)->callbacks = callbacks;
    ((CallbacksObject *)self)->place = place;
    return self;
}

static void callbacks_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *callbacks_addresses(PyObject *self, void *unused)
{
    (void)unused;
    int place = ((CallbacksObject *)self)->place;
    return Py_BuildValue(
        "{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K}", "generate", (unsigned long long)(uintptr_t)generators[place], "hello", (unsigned long long)(uintptr_t)hello, "get",
        (unsigned long long)(uintptr_t)gets[place], "new", (unsigned long long)(uintptr_t)news[place], "remove",
        (unsigned long long)(uintptr_t)removed, "ticket_key", (unsigned long long)(uintptr_t)ticket_keys[place],
        "ticket_made", (unsigned long long)(uintptr_t)ticket_made, "ticket_opened",
        (unsigned long long)(uintptr_t)ticket_opened, "ticket_argument",
        (unsigned long long)(uintptr_t)&libraries[place]);
}

static PyObject *callbacks_add(PyObject *self, PyObject *args)
{
    unsigned long long ctx;
    int verify_mode, mode, pauses;
    PyObject *attached, *scopes, *answers, *door, *names;
    if (!PyArg_ParseTuple(args, "KOOO!OiipO:add", &ctx, &attached, &scopes, scopes_type, &answers, &door, &verify_mode,
                          &mode, &pauses, &names))
        return NULL;
    if ((door != Py_None && !PyObject_TypeCheck(door, door_type)) ||
        (names != Py_None && !PyObject_TypeCheck(names, names_type))) {
        PyErr_SetString(PyExc_TypeError, "a door is a Door or None, names are ContextNames or None");
        return NULL;
    }
    struct attachment *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL)
        return PyErr_NoMemory();
    atomic_init(&fresh->owners, 1);
    fresh->ctx = (const SSL_CTX *)(uintptr_t)ctx;
    fresh->callbacks = ((CallbacksObject *)self)->callbacks;
    fresh->verify_mode = verify_mode;
    fresh->mode = (enum mode)mode;
    fresh->pauses = pauses;
    fresh->scopes = scopes_of(answers);
    scopes_keep(fresh->scopes);
    if (door != Py_None) {
        fresh->door = door_of(door);
        door_keep(fresh->door);
    }
    if (names != Py_None) {
        fresh->names = names_of(names);
        names_keep(fresh->names);
    }
    Py_INCREF(attached);
    Py_INCREF(scopes);
    fresh->attached = attached;
    fresh->scopes_object = scopes;
    replace_attachment(fresh->ctx, fresh);
    Py_RETURN_NONE;
}

static PyObject *callbacks_drop(PyObject *self, PyObject *number)
{
    (void)self;
    unsigned long long ctx = PyLong_AsUnsignedLongLong(number);
    if (PyErr_Occurred())
        return NULL;
    return PyBool_FromLong(replace_attachment((const SSL_CTX *)(uintptr_t)ctx, NULL));
}

/* --- handshakes that ended well, counted for servers that have no time to ask Python --- */

/* The SSL that a connection says it has; NULL where it says nothing, or an error is set. Its class is asked first:
 * pyOpenSSL's connections answer for each name that they lack by Python. */
static SSL *stated_ssl(PyObject *connection, PyObject *name)
{
    PyObject *stated = PyObject_GetAttr((PyObject *)Py_TYPE(connection), name);
    if (stated == NULL) {
        PyErr_Clear();
        return NULL;
    }
    Py_DECREF(stated);
    PyObject *number = PyObject_GetAttr(connection, name);
    void *ssl = number == NULL ? NULL : PyLong_AsVoidPtr(number);
    Py_XDECREF(number);
    return ssl;
}

/* False where Python has to count: nobody serves the context here, or what it made it has no door for. */
static bool count_ended(const struct callbacks *callbacks, const SSL *ssl)
{
    const struct openssl *openssl = callbacks->openssl;
    struct attachment *attachment = find_attachment(openssl->get_ctx(ssl));
    if (attachment == NULL)
        return false;
    bool counted = attachment->door != NULL;
    SSL_SESSION *session = counted ? openssl->get_session(ssl) : NULL;
    uint64_t token = session == NULL ? 0 : (uintptr_t)openssl->session_get_ex_data(session, callbacks->token_index);
    if (token != 0)
        door_count_resumed(attachment->door, token);
    let_go(attachment);
    return counted;
}

static PyObject *ended(PyObject *self, PyObject *connection)
{
    CallbacksObject *owner = (CallbacksObject *)PyTuple_GetItem(self, 0);
    SSL *ssl = stated_ssl(connection, PyTuple_GetItem(self, 2));
    if (PyErr_Occurred())
        return NULL;
    if (ssl != NULL && count_ended(owner->callbacks, ssl))
        Py_RETURN_NONE;
    return PyObject_CallFunctionObjArgs(PyTuple_GetItem(self, 1), connection, NULL);
}

static PyMethodDef ended_method = {"count", ended, METH_O, "Count a handshake that ended well."};

static PyObject *callbacks_counter(PyObject *self, PyObject *otherwise)
{
    PyObject *name = PyUnicode_InternFromString("ssl_address");
    PyObject *parts = name == NULL ? NULL : PyTuple_Pack(3, self, otherwise, name);
    PyObject *made = parts == NULL ? NULL : PyCFunction_New(&ended_method, parts);
    Py_XDECREF(parts);
    Py_XDECREF(name);
    return made;
}

PyObject *callbacks_closing(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    atomic_store(&closing, true);
    Py_RETURN_NONE;
}

static PyMethodDef callbacks_methods[] = {
    {"add", callbacks_add, METH_VARARGS, "Serve a context, or serve it in another way."},
    {"drop", callbacks_drop, METH_O, "Serve a context no longer."},
    {"counter", callbacks_counter, METH_O, "What counts a connection's handshake as ended well, or asks whether to."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef callbacks_getters[] = {
    {"addresses", callbacks_addresses, NULL, "The functions that OpenSSL is to call.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot callbacks_slots[] = {
    {Py_tp_doc, "The callbacks for one OpenSSL; those they ask are kept for ever."},
    {Py_tp_new, callbacks_make},
    {Py_tp_dealloc, callbacks_dealloc},
    {Py_tp_methods, callbacks_methods},
    {Py_tp_getset, callbacks_getters},
    {0, NULL},
};

PyType_Spec callbacks_spec = {"meshcache.hot._hot.Callbacks", sizeof(CallbacksObject), 0, Py_TPFLAGS_DEFAULT,
                              callbacks_slots};
