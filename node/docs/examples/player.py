"""A player with Eclipse Paho. README.md says what it does and which variables it reads."""

import json
import os
import secrets
import ssl
from urllib.parse import urlparse

import paho.mqtt.client as mqtt

URL = os.environ.get("MQTT_URL", "mqtt://127.0.0.1:1883")
OTHER = os.environ.get("OTHER_URL", URL)
V5 = os.environ.get("MQTT_VERSION", "5") == "5"
PLAYER = secrets.token_hex(16)  # whoever knows it can read this player's inbox
HASH = 2166136261
for digit in PLAYER.encode():
    HASH = (HASH ^ digit) * 16777619 % 2**32
SLOT = f"{(HASH >> 8 ^ HASH) & 255:02x}"


def play(url, first, on_inbox, on_live=None):
    """One connection: publishes `first`, then lets the handlers see what comes, until one returns True."""
    address = urlparse(url)
    websocket, tls = address.scheme.startswith("ws"), address.scheme in ("mqtts", "wss")
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2,
        protocol=mqtt.MQTTv5 if V5 else mqtt.MQTTv311,
        transport="websockets" if websocket else "tcp",
    )
    if websocket:
        client.ws_set_options(path=address.path)
    if tls:
        client.tls_set(ca_certs=os.environ.get("CA_FILE"), tls_version=ssl.PROTOCOL_TLS_CLIENT)

    def on_connect(client, userdata, flags, reason, properties):
        client.subscribe([(f"inbox/{PLAYER}", 1), (f"live/{os.environ['PIN']}", 1)])

    def on_subscribe(client, userdata, mid, reasons, properties):
        client.publish(f"connect/{SLOT}", json.dumps(first), qos=1)

    def on_message(client, userdata, message):
        heard = json.loads(message.payload)
        is_inbox = message.topic.startswith("inbox/")
        if is_inbox:
            print(json.dumps(heard), flush=True)
        handler = on_inbox if is_inbox else on_live
        if handler and handler(client, heard):
            client.disconnect()

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    client.connect(address.hostname, address.port, keepalive=30)
    client.loop_forever()


token = None
open_instance = None
answered = False


def answer_once(client):
    global answered
    if token and open_instance and not answered:
        answered = True
        answer = {"token": token, "instance": open_instance, "choices": [0]}
        client.publish(f"answer/{SLOT}", json.dumps(answer), qos=1)


def on_inbox(client, heard):
    global token
    if heard["type"] == "joined" and heard["pin"] == os.environ["PIN"]:  # of this show, not of another
        token = heard["token"]
    answer_once(client)
    return heard["type"] == "receipt"


def on_live(client, live):
    global open_instance
    stage = live["stage"]
    open_instance = stage["instance"] if stage["phase"] == "open" else None
    answer_once(client)


name = os.environ.get("NAME", "Example")
play(URL, {"pin": os.environ["PIN"], "player": PLAYER, "name": name}, on_inbox, on_live)
play(OTHER, {"token": token}, lambda client, heard: heard["type"] == "joined")
