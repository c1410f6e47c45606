"""Builds of meshcache that are weaker by one line, and the test that has to notice each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """In `file`, `old` (which is there once) becomes `new`; `noticed_by` then fails."""

    name: str
    file: str
    old: str
    new: str
    noticed_by: str


SECURITY = "tests/security"
POISON = f"{SECURITY}/test_poison.py::test_what_can_be_seen_costs_a_full_handshake_once_and_is_quarantined"
BORDERS = f"{SECURITY}/test_borders.py::test_no_session_crosses"

MUTANTS = [
    Mutant(
        "no client authentication in the digest",
        "meshcache/core/policy/scope.py",
        "    auth = security.client_auth\n",
        "    auth = ClientAuth()\n",
        "tests/tls/test_experiments.py::test_a_session_without_client_certificate_does_not_open_a_server_that_requires_one",
    ),
    Mutant(
        "no gate enforced",
        "meshcache/edges/sockets.py",
        "zmq.ZAP_ENFORCE_DOMAIN, 1)",
        "zmq.ZAP_ENFORCE_DOMAIN, 0)",
        "tests/edges/test_transport.py::test_nobody_gets_in_while_nobody_says_who_may_come_in",
    ),
    Mutant(
        "a removal travels",
        "meshcache/core/mesh.py",
        "            self.duties.sessions.removed(served, session_id)\n",
        "            self.withdraw_session(vip, session_id, self.duties._now)\n",
        f"{SECURITY}/test_embedding.py::test_an_unclean_close_takes_a_session_from_its_own_server_only_and_only_where_that_"
        "was_asked_for",
    ),
    Mutant(
        "the gate lets every CURVE key in",
        "meshcache/edges/zap.py",
        " and public_key in allowed",
        "",
        f"{SECURITY}/test_mesh_attacks.py::TestStrangers::test_are_refused_and_counted[the listener's public key]",
    ),
    Mutant(
        "the receiver's reach is not asked",
        "meshcache/core/policy/gates.py",
        "    if not target.reach.allows(target.colo, source.colo):\n",
        "    if False:\n",
        BORDERS + "[none are taken-1.3]",
    ),
    Mutant(
        "the sender's reach is not asked",
        "meshcache/core/policy/gates.py",
        "    if not source.reach.allows(source.colo, target.colo):\n",
        "    if False:\n",
        BORDERS + "[it stays on the server-1.3]",
    ),
    Mutant(
        "settings that differ don't matter",
        "meshcache/core/policy/gates.py",
        "    if source.digest != target.digest:\n",
        "    if False:\n",
        BORDERS + "[another floor-1.3]",
    ),
    Mutant(
        "the sender sends to everybody",
        "meshcache/core/state/served_vips.py",
        "        return bool(self.may_send(source, target.vips))\n",
        "        return True\n",
        BORDERS + "[none are taken-1.3]",
    ),
    Mutant(
        "the name is not part of the scope",
        "meshcache/core/policy/scope.py",
        "    return _hash(_TAG_SCOPE, digest, name_class.encode())\n",
        "    return _hash(_TAG_SCOPE, digest)\n",
        BORDERS + "[another name-1.3]",
    ),
    Mutant(
        "the lowest version is not part of the digest",
        "meshcache/core/policy/scope.py",
        '        b"%d,%d" % (security.tls_floor, security.epoch),\n',
        '        b"%d" % security.epoch,\n',
        BORDERS + "[another floor-1.3]",
    ),
    Mutant(
        "sessions with client certificates are exported",
        "meshcache/core/replication/local_sessions.py",
        "        stays = certified and not vip.export_client_certificates\n",
        "        stays = False\n",
        BORDERS + "[its maker keeps certificates at home-1.3]",
    ),
    Mutant(
        "a context may have an SNI callback",
        "meshcache/runtime/contexts/attaching.py",
        "        if self.facts.sni_callback:\n",
        "        if False:\n",
        f"{SECURITY}/test_embedding.py::test_a_context_with_an_sni_callback_is_therefore_refused",
    ),
    Mutant(
        "the id in the DER is not compared",
        "meshcache/tls/lookup.py",
        "        if unpack(place, scratch.count[0]) != session_id:\n",
        "        if False:\n",
        POISON + "[1.3-another session]",
    ),
    Mutant(
        "a tail behind the DER is no matter",
        "meshcache/tls/lookup.py",
        "            if session and scratch.cursor[0] - start == len(der):  # OpenSSL ignores a tail\n",
        "            if session:\n",
        POISON + "[1.3-a tail]",
    ),
    Mutant(
        "nothing is quarantined",
        "meshcache/core/replication/local_sessions.py",
        "        self._quarantine.add(session_id, now)\n",
        "",
        POISON + "[1.3-a tail]",
    ),
    Mutant(
        "a connection may speak for anyone",
        "meshcache/core/membership/connections.py",
        "        return known.sender == (sender, incarnation)\n",
        "        return True\n",
        f"{SECURITY}/test_mesh_attacks.py::TestHostileMembers::test_can_not_speak_for_a_node_that_is_linked",
    ),
    Mutant(
        "a flood pushes out everyone's",
        "meshcache/core/cache/cache.py",
        "stream.entries.oldest() if stream and stream.cached * 2 > len(vip_cache) else None",
        "None",
        f"{SECURITY}/test_mesh_attacks.py::TestHostileMembers::test_that_flood_a_quota_push_out_their_own",
    ),
    Mutant(
        "the LAN is told the mesh's name",
        "meshcache/edges/discovery.py",
        '"mesh": mesh_hash(self.mesh)}',
        '"mesh": mesh_hash(self.mesh), "name": self.mesh}',
        f"{SECURITY}/test_secrecy.py::test_the_lan_hears_a_random_name_and_two_hashes",
    ),
    Mutant(
        "faults are logged with their words",
        "meshcache/runtime/vip_ports/session_ports.py",
        "shown(sys.exception()))",
        "repr(sys.exception()))",
        f"{SECURITY}/test_secrecy.py::test_logs_and_every_page_of_the_admin_interface_are_clean",
    ),
    Mutant(
        "a server may dump core",
        "server/main.py",
        "    process.keep_secrets_in()\n",
        "    del process\n",
        f"{SECURITY}/test_secrecy.py::test_a_server_dumps_no_core_and_its_log_is_clean",
    ),
    Mutant(
        "a frame may hold any number of arrays",
        "meshcache/core/wire/codec.py",
        "        if too_many_containers(payload):\n",
        "        if False:\n",
        f"{SECURITY}/test_fuzz.py::TestFrames::test_that_are_made_to_take_long_or_much[wide]",
    ),
    Mutant(
        "a key of zeros will do",
        "meshcache/edges/keyring.py",
        "    if len(set(secret)) < DISTINCT_BYTES_MIN:\n",
        "    if False:\n",
        "tests/edges/test_keyring.py::test_a_key_that_could_be_guessed_is_refused_without_being_shown",
    ),
]
