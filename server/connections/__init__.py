"""Clients' connections: accepted, looked at before TLS is spoken, shaken hands with, and given to an application.

Imports `applications`, `tls` and what lies beside the rooms. Whatever a client says is hostile and bounded by `limits`;
nothing here decides what may resume. In order of reading: `listener`, `acceptor` and `adopted` (where C is compiled),
`preface`, `connection`, `pausing`; `table` has them all, `routes` and `service` say whose they are.
"""
