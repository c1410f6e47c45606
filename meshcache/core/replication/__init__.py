"""How one session gets from one node to another: filed here, pushed, taken in there and passed on; and found here.

Imports `holders` and below. Every way in passes `may_accept`, every way out `may_send`, every lookup `may_resume`.
What didn't get through isn't sent again here: `repair` above finds it, and fetches it through the same `intake`.

`local_sessions` numbers and files what handshakes made and finds what they ask for; `publisher` pushes it, `relaying`
passes it on from colo to colo, `intake` takes it in; `intake_fast_path` and `publisher_fast_path` do that for what is
plain, where C is compiled. `consuming` tells what was used up, `tiering` notes what leaves memory for the tiers, and
lets it in again.
"""
