/* The OpenSSLs of this process, each by the addresses of its public functions; what OpenSSL's headers would say else.
 *
 * Calls none of them.
 */
#include "callbacks.h"

#include <string.h>

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

struct openssl libraries[LIBRARIES_MAX];

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
int openssl_place(PyObject *addresses)
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
