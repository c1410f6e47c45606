"""May a session resume on a VIP here and now? The whole verdict of a lookup, in its order.

First its end, then the policy (`policy.gates.may_resume`, which `ServedVip` remembers by terms), then the VIP's own
limits. `LocalSessions.lookup` asks it, and `explain` says what it says. What only OpenSSL's session object can show is
asked afterwards, in `tls.lookup` (`flaw_of`, `fitness`); `hot/door.c` has the same order in C, with the policy's
answer by stream.
"""

from __future__ import annotations

from meshcache.core.policy.gates import Verdict
from meshcache.core.values.session import Session
from meshcache.core.values.topology import LocalVip

_ALLOWED = Verdict.ALLOWED  # looking it up takes as long as a call


def resume_verdict(policy: Verdict, vip: LocalVip, session: Session, now: float, made_here: bool) -> Verdict:
    """Return whether a session may resume on this VIP; `policy` is what `may_resume` answered for its terms."""
    if session.expires_at <= now:
        return Verdict.LIFETIME
    if policy is not _ALLOWED:
        return policy
    if now - session.born_at > vip.lineage_s:
        return Verdict.LINEAGE
    if session.client_certificate and not made_here and not vip.export_client_certificates:
        return Verdict.CLIENT_CERTIFICATE
    return _ALLOWED
