#!/usr/bin/env bash
# nginx 1.22.1 (Debian 12): a variable in `proxy_pass https://…` switches `proxy_ssl_session_reuse` off, which is on by default.
#
# Sessions towards a server are kept with the upstream group, and an address in `proxy_pass` without variables is such a
# group. With a variable (the usual way to have a name looked up again) each request gets a list of servers of its own, whose
# functions to set and save a session do nothing (ngx_http_upstream_create_round_robin_peer). The page of the directive doesn't
# say so, and nothing is logged. Seen: literal address 4 of 4 returns resumed; variable 0 of 4; a variable that names an
# `upstream` block 4 of 4; and the same variable 4 of 4 as well, once any other location has the same address as a literal,
# since it is then found as a group. So removing an unrelated location costs full handshakes here.
#
# Exits 1 if that changes. Needs nginx, openssl and curl (apt-get install nginx-light openssl curl); talks to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d)
end() { [ -z "${pid:-}" ] || kill "$pid" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"; }
trap end EXIT
cd "$folder"
nginx -v 2>&1
case $(nginx -v 2>&1) in *nginx/1.22.1*) ;; *) echo "this was seen with 1.22.1"; exit 1 ;; esac
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost 2>/dev/null
free() { # a port that nobody listens at and that is none of those the kernel gives to outgoing connections
    python3 -c 'import random, socket
while True:
    try:
        with socket.create_server(("127.0.0.1", random.randrange(20000, 30000))) as one:
            raise SystemExit(print(one.getsockname()[1]))
    except OSError:
        pass'
}
tried() { # a text for it, where the location passes requests to, and where another location beside it does
    front=$(free) back=$(free)
    beside=${3:+location /beside { proxy_pass https://$3; \}}
    cat >nginx.conf <<NGINX
daemon off; worker_processes 1; pid $folder/pid; error_log $folder/errors;
events {}
http {
    client_body_temp_path $folder/1; proxy_temp_path $folder/2; fastcgi_temp_path $folder/3; uwsgi_temp_path $folder/4; scgi_temp_path $folder/5;
    access_log off;
    log_format reuse '\$ssl_session_reused';
    upstream group { server 127.0.0.1:$back; }
    server {
        listen 127.0.0.1:$back ssl;
        ssl_certificate cert.pem; ssl_certificate_key key.pem;
        keepalive_timeout 0;
        access_log $folder/reuse reuse;
        location / { return 200 "hi\n"; }
    }
    server {
        listen 127.0.0.1:$front;
        set \$address 127.0.0.1:$back; set \$group group;
        location /asked { proxy_pass https://$2; }
        $beside
    }
}
NGINX
    sed -i "s/BACK/$back/" nginx.conf
    : >reuse
    nginx -p "$folder" -c "$folder/nginx.conf" 2>/dev/null & pid=$!
    for _ in $(seq 5); do curl --silent --fail --output /dev/null --retry 20 --retry-delay 1 --retry-connrefused "http://127.0.0.1:$front/asked"; done
    kill "$pid"; wait "$pid" 2>/dev/null || true; pid=
    echo "$1: $(tail -n 4 reuse | grep -c r || true) of $(($(wc -l <reuse) - 1)) resumed"
}
{
    tried "literal address" 127.0.0.1:BACK
    tried "variable" '$address'
    tried "variable that names an upstream block" '$group'
    tried "variable, and the address as a literal elsewhere" '$address' 127.0.0.1:BACK
} >seen
cat seen
[ "$(cut -d : -f 2 seen | tr '\n' ,)" = " 4 of 4 resumed, 0 of 4 resumed, 4 of 4 resumed, 4 of 4 resumed," ]
