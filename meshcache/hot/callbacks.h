/* What OpenSSL calls back, for ClientHello, session ids, get, new, remove and tickets: on the thread of the handshake, with
 * the interpreter's lock released. Each file is the twin of one in tls/, for what is plain: a session without a client
 * certificate, of a VIP that has a door. For all else it takes the interpreter's lock and asks that file, whose answer
 * counts; so what C can't judge it never has to.
 *
 *     hello.c        tls/hello.py
 *     pausing.c      tls/pausing.py
 *     lookup.c       tls/lookup.py, tls/ordinary.py
 *     single_use.c   tls/single_use.py
 *     creation.c     tls/creation.py, tls/minting.py, tls/lineage.py
 *     tickets.c      tls/tickets.py
 *     callbacks.c    the functions that OpenSSL is given, and the Python type that has them
 *     attachments.c  which context is of which VIP
 *     ask_python.c   asks what isn't plain
 *     openssl.c      the addresses of OpenSSL's functions
 *
 * No header of OpenSSL's is used and no struct of its looked into: its public functions come as addresses. Its objects are
 * its own, and never owned here but where a comment says so.
 */
#ifndef MESHCACHE_CALLBACKS_H
#define MESHCACHE_CALLBACKS_H

#include "hot.h"

/* --- openssl.c: OpenSSL, by its public functions ------------------------------------------------------------------ */

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

enum { LIBRARIES_MAX = 4 };

/* Each OpenSSL of the process has a place here for ever; those behind the last have no `id`. */
extern struct openssl libraries[LIBRARIES_MAX];

/* The place of the OpenSSL that has these functions; -1 with an error set. With the interpreter's lock. */
int openssl_place(PyObject *addresses);

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

/* --- attachments.c: which context is of which VIP ----------------------------------------------------------------- */

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

/* The attachment of a context, of which the caller is an owner then; NULL: it is in no VIP. */
struct attachment *attachment_find(const SSL_CTX *ctx);

/* Gives one back; the last owner frees it. */
void attachment_drop(struct attachment *attachment);

/* Puts one into the registry, which owns it, or with NULL takes away the one that is there; says whether there was one.
 * With the interpreter's lock. */
bool attachment_replace(const SSL_CTX *ctx, struct attachment *fresh);

/* --- ask_python.c: with the interpreter's lock, and with whatever exception was on its way put aside -------------- */

struct asking {
    PyGILState_STATE state;
    PyObject *type, *value, *trace;
};

/* Takes the interpreter's lock; false, and nobody is to be asked, when the interpreter is ending. */
bool begin_asking(struct asking *asking);

/* Gives it back. An exception that an answer ended with is dropped, but for Ctrl-C and SystemExit, which are the program's:
 * they are raised again where its own code goes on in this thread. */
void end_asking(struct asking *asking);

/* The session id context for a server_name extension that isn't remembered; false: it shares nothing. */
bool ask_scope(struct attachment *attachment, const uint8_t *extension, size_t bytes, uint8_t *context);

/* The session of an id, which OpenSSL owns then; NULL: there is none. */
SSL_SESSION *ask_get(struct callbacks *callbacks, SSL *ssl, const uint8_t *id, size_t id_bytes);

/* Tells one of the functions of `callbacks` of a session, of a connection or a context. */
void tell_session(PyObject *whom, const void *owner, const SSL_SESSION *session);

/* Tells that sessions wait to be filed and sent. */
void tell_made(struct attachment *attachment);

/* Tells that a session that is good for one handshake was used by it. */
void tell_used(struct attachment *attachment, const uint8_t *id, size_t id_bytes);

/* --- what is noted on a connection -------------------------------------------------------------------------------- */

static inline void set_mark(const struct callbacks *callbacks, SSL *ssl, mark fresh)
{
    callbacks->openssl->set_ex_data(ssl, callbacks->mark_index, (void *)fresh);
}

static inline mark mark_of(const struct callbacks *callbacks, const SSL *ssl)
{
    return (mark)callbacks->openssl->get_ex_data(ssl, callbacks->mark_index);
}

static inline bool is_apart(mark now)
{
    return now == MARK_APART || now == MARK_APART_REFUSED;
}

/* --- hello.c: gives each connection the session id context of its VIP and server name ----------------------------- */

int on_hello(SSL *ssl, int *alert, const SSL_CTX *ctx);

/* The server_name extension of the ClientHello; NULL: it has none. Borrowed from it. */
const uint8_t *server_name_of(const struct openssl *openssl, SSL *ssl, size_t *bytes);

/* Whether the connection will be one of TLS 1.3. */
bool offers_tls13(const struct openssl *openssl, SSL *ssl);

/* --- pausing.c: lets a handshake wait for a session that isn't in memory ------------------------------------------ */

/* Whether it waits. Asks nobody where one of the sessions that it offers is here. */
bool is_paused(struct attachment *attachment, SSL *ssl);

/* --- lookup.c: a session id from a client becomes a session object, which OpenSSL then owns, or a miss ------------ */

SSL_SESSION *on_get(const struct openssl *openssl, SSL *ssl, const uint8_t *id, int id_bytes, int *copy);

/* Whether a session remembers nothing but what its scope says. */
bool is_ordinary(const struct openssl *openssl, SSL_SESSION *session);

/* Whether the connection would agree to the cipher: it may be listed, and below the security level. */
bool is_agreeable(struct attachment *attachment, SSL *ssl, void *cipher);

/* Takes away what the DER says of time, by another machine's clock: the door looked at the age. */
void restart_clock(const struct openssl *openssl, SSL *ssl, SSL_SESSION *session);

/* Lets SSL_get_servername(3) tell what this client asked for. */
void name_as_asked(const struct openssl *openssl, SSL *ssl, SSL_SESSION *session);

/* --- single_use.c: which session of TLS 1.3 was used, by a note in the one that follows on it ---------------------- */

/* Notes on a session of TLS 1.3 under which id it was found, where it is good for one handshake only. False where that can't
 * be noted: it isn't to be given then. */
bool mark_use(const struct attachment *attachment, SSL_SESSION *session, const uint8_t *id, size_t id_bytes);

/* Tells which session a new one follows on, and takes the note of it away: its handshake has ended. */
void tell_use(struct attachment *attachment, SSL_SESSION *session);

/* --- creation.c: a session that OpenSSL made gets its id, and is filed; one that it drops is taken back ----------- */

int on_new(const struct openssl *openssl, SSL *ssl, SSL_SESSION *session);
int on_generate(const struct openssl *openssl, const SSL *ssl, uint8_t *id, unsigned *bytes);
void on_remove(SSL_CTX *ctx, SSL_SESSION *session);

/* Whether a session is one that may be kept and needs no question. */
bool is_plain(struct attachment *attachment, const SSL *ssl, SSL_SESSION *session);

/* Marks the lineage of a session, unless it is marked. */
void mark_lineage(const struct openssl *openssl, SSL_SESSION *session);

/* Counts a handshake once: a further ticket on the connection is a copy of the first one's session, and so of this. */
void count_handshake(struct attachment *attachment, SSL *ssl, SSL_SESSION *session, uint64_t token);

/* --- tickets.c: which key, what is noted in a ticket, what may be used of one ------------------------------------- */

int on_ticket_key(const struct openssl *openssl, SSL *ssl, uint8_t *name, uint8_t *iv, void *cipher, void *mac,
                  int encrypting);

/* Before a ticket is made, and after one was opened; `argument` is the OpenSSL that calls. */
int on_ticket_made(SSL *ssl, void *argument);
int on_ticket_opened(SSL *ssl, SSL_SESSION *session, const uint8_t *name, size_t name_bytes, int status, void *argument);

#endif
