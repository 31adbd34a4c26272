"""A Starling player on Eclipse Paho: joins, answers the first open question, tells what it hears.

One argument, a JSON object: host, port, websocket, v5, pin, player, name, choice. Each line of
output is a JSON object whose `told` names it: joined, connected (the join was acknowledged), open, puback (the answer was), receipt, result,
refused.
"""

import json
import sys

import paho.mqtt.client as mqtt

settings = json.loads(sys.argv[1])
hashed = 2166136261
for digit in settings["player"].encode():
    hashed = (hashed ^ digit) * 16777619 % 2**32
slot = f"{(hashed >> 8 ^ hashed) & 255:02x}"
state = {"token": None, "answered": None, "mids": {}}


def tell(told, **values):
    print(json.dumps({"told": told, **values}), flush=True)


def publish(client, topic, payload):
    info = client.publish(topic, json.dumps(payload), qos=1)
    state["mids"][info.mid] = topic


def answer(client, live):
    instance = live["stage"]["instance"]
    if live["stage"]["phase"] != "open" or not state["token"] or state["answered"] == instance:
        return
    state["answered"] = instance
    tell("open", instance=instance)
    choices = [settings["choice"]]
    publish(client, f"answer/{slot}", {"token": state["token"], "instance": instance, "choices": choices})


def on_connect(client, userdata, flags, reason, properties):
    client.subscribe([(f"inbox/{settings['player']}", 1), (f"live/{settings['pin']}", 1)])
    join = {"pin": settings["pin"], "player": settings["player"], "name": settings["name"]}
    publish(client, f"connect/{slot}", join)


def on_publish(client, userdata, mid, reason, properties):
    pairs = getattr(properties, "UserProperty", None) or []
    receipt = dict(pairs).get("receipt")
    topic = state["mids"].get(mid, "")
    told = "puback" if topic.startswith("answer/") else "connected"
    tell(told, topic=topic, reason=reason.value, receipt=receipt and json.loads(receipt))


def on_message(client, userdata, message):
    payload = json.loads(message.payload)
    if message.topic.startswith("live/"):
        state["live"] = payload
    else:
        told = payload.pop("type")
        tell(told, **payload)
        if told == "joined":
            state["token"] = payload["token"]
    if state.get("live"):
        answer(client, state["live"])


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=settings["player"],
    protocol=mqtt.MQTTv5 if settings["v5"] else mqtt.MQTTv311,
    transport="websockets" if settings["websocket"] else "tcp",
)
if settings["websocket"]:
    client.ws_set_options(path="/mqtt")
client.on_connect = on_connect
client.on_publish = on_publish
client.on_message = on_message
client.connect(settings["host"], settings["port"], keepalive=10)
client.loop_forever()
