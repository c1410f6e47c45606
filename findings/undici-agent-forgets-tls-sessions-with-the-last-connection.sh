#!/usr/bin/env bash
# undici 7.30.0, and with it `fetch` of Node 24 and 26: no TLS session is resumed once an origin's last connection has closed.
#
# `Agent`, through which `fetch` and `request` go unless told otherwise, makes a Pool for each origin, and the cache of
# sessions (`maxCachedSessions`, documented as 100 by default) belongs to the Pool's connector. When the last connection of an
# origin closes, the Agent throws the Pool away, and the next request begins with an empty cache: just when a session would
# be worth something. Seen, in TLS 1.2 and 1.3, with a server that closes after each response: https.Agent resumes 4 of 4
# returns, a Pool held by the program 4 of 4, undici's Agent 0 of 4, and so `fetch` of Node 24.9.0 (it brings undici
# 7.16.0) and of 26.9.0; Node 20's, with undici 6, resumed. It hurts clients that come back after the keep-alive time, 4 s
# by default, and their servers.
#
# Exits 1 if that changes. Needs node 20, npm with its registry, and openssl; talks to 127.0.0.1 only.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' >package.json
npm install --silent --no-audit --no-fund undici@7.30.0 node@24.9.0 >/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost 2>/dev/null
cat >program.js <<'JS'
const fs = require('node:fs')
const https = require('node:https')
const { once } = require('node:events')
const undici = require('undici')

const [key, cert] = ['key.pem', 'cert.pem'].map(name => fs.readFileSync(name))
const resumed = []
const server = https.createServer({ key, cert }, (request, response) => response.setHeader('Connection', 'close').end('hi'))
server.on('secureConnection', socket => resumed.push(socket.isSessionReused()))

async function returns (visit) {
  resumed.length = 0
  for (let number = 0; number < 5; number++) {
    await visit()
    await new Promise(resolve => setTimeout(resolve, 100)) // the connection is closed by now
  }
  return `${resumed.slice(1).filter(Boolean).length} of 4`
}

async function main () {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const origin = `https://localhost:${server.address().port}`
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    const tls = { ca: cert, minVersion: version, maxVersion: version }
    const own = new https.Agent(tls)
    const agent = new undici.Agent({ connect: tls })
    const pool = new undici.Pool(origin, { connect: tls })
    const request = dispatcher => async () => (await undici.request(origin, { dispatcher })).body.text()
    const get = async () => {
      const [response] = await once(https.get(origin, { agent: own }), 'response')
      await once(response.resume(), 'end')
    }
    console.log(`${version}: https.Agent ${await returns(get)}, undici.Pool ${await returns(request(pool))},` +
      ` undici.Agent ${await returns(request(agent))}`)
  }
  const plain = async () => (await fetch(origin)).text()
  console.log(`fetch of node ${process.versions.node}, undici ${process.versions.undici}: ${await returns(plain)}`)
  process.exit()
}
main()
JS
echo "undici $(node -p 'require("undici/package.json").version')"
NODE_EXTRA_CA_CERTS=cert.pem node_modules/.bin/node program.js >seen
cat seen
[ "$(cat seen)" = "TLSv1.2: https.Agent 4 of 4, undici.Pool 4 of 4, undici.Agent 0 of 4
TLSv1.3: https.Agent 4 of 4, undici.Pool 4 of 4, undici.Agent 0 of 4
fetch of node 24.9.0, undici 7.16.0: 0 of 4" ]
