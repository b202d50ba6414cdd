#!/bin/sh
# A desk over the WebSocket, by hand: websocat sends each line of its input as a message. First `frontdesk serve`, then
# run this. FRONTDESK_URL names another server.
set -eu
url=$(echo "${FRONTDESK_URL:-http://127.0.0.1:8765}/v1/responses" | sed 's/^http/ws/')
{
  echo '{"type": "response.create", "input": "hello"}'
  sleep "${SECONDS_OPEN:-3}" # the answer's events come meanwhile, one line each
} | websocat --header "Authorization: Bearer ${FRONTDESK_TOKEN:-none}" "$url"
