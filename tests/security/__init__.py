"""The attacks that the borders have to hold against: real handshakes and real sockets, all on loopback."""
