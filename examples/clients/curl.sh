#!/bin/sh
# A desk over plain HTTP. First `frontdesk serve`, then run this. FRONTDESK_URL names another server.
set -eu
url="${FRONTDESK_URL:-http://127.0.0.1:8765}/v1"
ask() { curl --silent --show-error --fail-with-body --header "Authorization: Bearer ${FRONTDESK_TOKEN:-none}" "$@"; }
post() { path=$1; shift; ask --json "$1" "$url/$path"; echo; }

ask "$url/models"; echo                                          # the desk first, then its agents
post responses '{"input": "hello"}'                              # the whole answer, when there is one
post responses '{"input": "hello", "background": true}'          # at once; GET /v1/responses/ID looks at it
ask --no-buffer --json '{"input": "hello", "stream": true}' "$url/responses"    # its events, as they come
post chat/completions '{"messages": [{"role": "user", "content": "hello"}]}'
ask "$url/tasks"; echo
