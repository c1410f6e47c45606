"""The OpenSSL edge: finds the library, sets the callbacks, attaches contexts to VIPs."""
