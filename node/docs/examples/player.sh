#!/bin/sh
# A player with mosquitto's clients and jq. README.md says what it does and which variables it reads.
set -eu

player=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n') # whoever knows it can read this player's inbox
hash=2166136261
for digit in $(printf %s "$player" | od -An -v -tu1); do hash=$(((hash ^ digit) * 16777619 % 4294967296)); done
slot=$(printf %02x $(((hash >> 8 ^ hash) & 255)))
case ${MQTT_VERSION:-5} in 5) version=mqttv5 ;; *) version=mqttv311 ;; esac

# mosquitto TOOL URL ARGUMENTS...
mosquitto() {
    tool=$1 url=$2
    shift 2
    address=${url#*://}
    [ -z "${CA_FILE:-}" ] || set -- --cafile "$CA_FILE" --tls-version tlsv1.3 "$@"
    "mosquitto_$tool" -V "$version" -h "${address%:*}" -p "${address##*:}" -q 1 "$@"
}

url=${MQTT_URL:-mqtt://127.0.0.1:1883}
other=${OTHER_URL:-$url}

join=$(jq -nc --arg pin "$PIN" --arg player "$player" --arg name "${NAME:-Example}" '$ARGS.named')
mosquitto pub "$url" -t "connect/$slot" -m "$join"
joined=$(mosquitto sub "$url" -t "inbox/$player" -C 1 -W 30)
echo "$joined"
token=$(echo "$joined" | jq -r .token)

# What is retained and what the inbox knows come at once, and -W ends the wait for more.
# first TOPIC FILTER
first() {
    while :; do
        found=$(mosquitto sub "$url" -t "$1" -W 2 | jq -c "$2" | head -n 1)
        [ -z "$found" ] || break
    done
    echo "$found"
}

instance=$(first "live/$PIN" 'select(.stage.phase == "open") | .stage.instance')
answer=$(jq -nc --arg token "$token" --argjson instance "$instance" '$ARGS.named + {choices: [0]}')
mosquitto pub "$url" -t "answer/$slot" -m "$answer"
first "inbox/$player" 'select(.type == "receipt")'

mosquitto pub "$other" -t "connect/$slot" -m "$(jq -nc --arg token "$token" '$ARGS.named')"
mosquitto sub "$other" -t "inbox/$player" -C 1 -W 30
