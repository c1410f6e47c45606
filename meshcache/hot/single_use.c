/* Which session of TLS 1.3 a handshake used: noted on it when it is found, and told when the one that follows on it is made.
 * The twin of tls/single_use.py.
 */
#include "callbacks.h"

#include <string.h>

/* The note is behind the lineage. */
bool mark_use(const struct attachment *attachment, SSL_SESSION *session, const uint8_t *id, size_t id_bytes)
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

void tell_use(struct attachment *attachment, SSL_SESSION *session)
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
