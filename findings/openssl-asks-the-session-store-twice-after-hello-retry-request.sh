#!/usr/bin/env bash
# TLS 1.3, OpenSSL 3.0 (Debian 12's libssl): one handshake with a HelloRetryRequest asks the get-session callback twice for one session.
#
# With SSL_OP_NO_TICKET a TLS 1.3 ticket is a session id, and the server looks it up in its cache or by the callback that
# SSL_CTX_sess_set_get_cb sets. A client whose first key share is of a group that the server doesn't take sends its ClientHello
# twice, and the lookup is made for each. The callback's man page doesn't speak of it. A store that gives out a session once,
# for TLS 1.3's single use or against replay, has nothing left for the second, and the one that counts is the second: just
# these clients never resume. Its hits are counted twice, too. Seen: asked 1 and 2 times; with a store that gives once, the
# handshake without a retry resumes and the one with it is full. A store has to remember what it gave to which connection.
#
# Exits 1 if that changes. Needs gcc and libssl-dev (apt-get install gcc libssl-dev); no network at all.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cat >"$folder/program.c" <<'PROGRAM'
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static SSL_SESSION *stored, *ticket; /* of the server's store, which has room for one, and of the client */
static int asked;
static bool once;

static int store(SSL *server, SSL_SESSION *session) {
    (void)server;
    SSL_SESSION_free(stored);
    stored = SSL_SESSION_dup(session);
    return 0;
}

static SSL_SESSION *look_up(SSL *server, const unsigned char *id, int length, int *copy) {
    (void)server;
    asked++;
    *copy = 0; /* the reference that is returned is OpenSSL's */
    unsigned int stored_length;
    const unsigned char *stored_id = stored ? SSL_SESSION_get_id(stored, &stored_length) : NULL;
    if (stored == NULL || stored_length != (unsigned int)length || memcmp(id, stored_id, length) != 0)
        return NULL;
    SSL_SESSION *given = once ? stored : SSL_SESSION_dup(stored);
    if (once)
        stored = NULL;
    return given;
}

static int keep(SSL *client, SSL_SESSION *session) {
    (void)client;
    SSL_SESSION_free(ticket);
    ticket = session;
    return 1;
}

/* One visit over a pair of BIOs: whether the session was resumed. */
static bool visit(SSL_CTX *at, SSL_CTX *from, SSL_SESSION *session) {
    SSL *server = SSL_new(at), *client = SSL_new(from);
    BIO *here, *there;
    char byte = 'x';
    BIO_new_bio_pair(&here, 0, &there, 0);
    SSL_set_bio(server, here, here);
    SSL_set_bio(client, there, there);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    if (session != NULL)
        SSL_set_session(client, session);
    for (int turn = 0; turn < 8; turn++) {
        SSL_do_handshake(client);
        SSL_do_handshake(server);
    }
    if (SSL_write(server, &byte, 1) != 1 || SSL_read(client, &byte, 1) != 1) {
        ERR_print_errors_fp(stderr);
        exit(2);
    }
    bool resumed = SSL_session_reused(server);
    SSL_shutdown(client);
    SSL_shutdown(server);
    SSL_free(client);
    SSL_free(server);
    return resumed;
}

int main(void) {
    SSL_CTX *server = SSL_CTX_new(TLS_server_method()), *client = SSL_CTX_new(TLS_client_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
    SSL_CTX_use_certificate(server, certificate);
    SSL_CTX_use_PrivateKey(server, key);
    SSL_CTX_set_session_id_context(server, (const unsigned char *)"finding", 7);
    SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(server, 1);
    SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(server, store);
    SSL_CTX_sess_set_get_cb(server, look_up);
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, keep);
    SSL_CTX_set1_groups_list(client, "X25519:P-384"); /* it sends a key share for the first */
    puts(OpenSSL_version(OPENSSL_VERSION));
    for (int row = 0; row < 4; row++) {
        bool retry = row >= 2;
        once = row % 2;
        SSL_CTX_set1_groups_list(server, retry ? "P-384" : "X25519:P-384");
        visit(server, client, NULL);
        SSL_SESSION *session = ticket;
        ticket = NULL;
        asked = 0;
        bool resumed = visit(server, client, session);
        printf("%s, a store that %s: asked %d, %s\n", retry ? "HelloRetryRequest" : "no retry", once ? "gives once" : "keeps", asked,
               resumed ? "resumed" : "full handshake");
        SSL_SESSION_free(session);
    }
    return 0;
}
PROGRAM
gcc -Wall -Wextra -o "$folder/program" "$folder/program.c" -lssl -lcrypto
"$folder/program" >"$folder/seen"
cat "$folder/seen"
grep -q '^OpenSSL 3\.0\.' "$folder/seen"
[ "$(tail -n +2 "$folder/seen" | cut -d : -f 2 | tr '\n' '|')" = " asked 1, resumed| asked 1, resumed| asked 2, resumed| asked 2, full handshake|" ]
