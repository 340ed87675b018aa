# Needs curl and a POSIX shell.
set -eu
studio=${STUDIO:-http://127.0.0.1:8585}
ask() { curl --silent --show-error --fail-with-body ${STUDIO_TOKEN:+--header "Authorization: Bearer $STUDIO_TOKEN"} "$@"; }
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" | head -n 1; }

ask --request POST "$studio/v1/demo" > /dev/null
id=$(ask "$studio/v1/videos" --header "Content-Type: application/json" --data '{
  "model": "anicrafter-demo",
  "avatar": "demo/avatar.safetensors",
  "motion": "demo/motion.json",
  "background": "demo/background.mp4",
  "character": "demo/character.png",
  "seconds": "1"
}' | sed 's/,"object":"video".*//' | field id)

status=queued
while [ "$status" = queued ] || [ "$status" = in_progress ]; do
  sleep 1
  status=$(ask "$studio/v1/videos/$id" | field status)
done
ask "$studio/v1/videos/$id/content" --output demo.mp4
echo "$status: demo.mp4"
