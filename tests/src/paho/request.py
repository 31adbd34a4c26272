"""Asks to play and wants the answer at a topic of its own, as MQTT 5 has it; prints what comes there as JSON."""

import json
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

host, port, pin, player, slot = sys.argv[1:]
asking = Properties(PacketTypes.PUBLISH)
asking.CorrelationData = b"\x01\xff"
asking.UserProperty = [("seat", "7"), ("row", "2"), ("seat", "8")]


def on_connect(client, userdata, flags, reason, properties):
    asking.ResponseTopic = properties.ResponseInformation
    client.subscribe(asking.ResponseTopic)


def on_subscribe(client, userdata, mid, reasons, properties):
    join = json.dumps({"pin": pin, "player": player, "name": "Paho asks"})
    client.publish(f"connect/{slot}", join, qos=1, properties=asking)


def on_message(client, userdata, message):
    properties = message.properties
    told = {
        "topic": message.topic,
        "answer": json.loads(message.payload),
        "correlation": properties.CorrelationData.hex(),
        "user": properties.UserProperty,
    }
    print(json.dumps(told), flush=True)
    client.disconnect()


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "asker", protocol=mqtt.MQTTv5)
client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
hello = Properties(PacketTypes.CONNECT)
hello.RequestResponseInformation = 1
client.connect(host, int(port), properties=hello)
client.loop_forever()
