"""Paho against the open profile of a node: each step waits for what a general broker owes its clients."""

import os
import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

HOST, PORT = os.environ["MQTT_HOST"], int(os.environ["MQTT_PORT"])
V5 = os.environ["MQTT_VERSION"] == "5"
TAG = f"paho-{os.environ['MQTT_VERSION']}"
PATIENCE_S = 60


class Client:
    """A client that keeps what it hears."""

    def __init__(self, name, clean=True, expiry_s=0, will=None):
        self.heard, self.done = queue.Queue(), queue.Queue()
        kinds = {"protocol": mqtt.MQTTv5 if V5 else mqtt.MQTTv311}
        if not V5:
            kinds["clean_session"] = clean
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, f"{TAG}-{name}", **kinds)
        if will:
            self.client.will_set(*will)
        self.client.on_connect = lambda c, u, flags, reason, p: self.done.put(flags.session_present)
        self.client.on_subscribe = lambda c, u, mid, reasons, p: self.done.put(reasons)
        self.client.on_message = lambda c, u, message: self.heard.put(message)
        if V5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = expiry_s
            self.client.connect(HOST, PORT, clean_start=clean, properties=properties)
        else:
            self.client.connect(HOST, PORT)
        self.client.loop_start()
        self.present = self.done.get(timeout=PATIENCE_S)

    def subscribe(self, *args, **kwargs):
        self.client.subscribe(*args, **kwargs)
        return self.done.get(timeout=PATIENCE_S)

    def publish(self, topic, payload, **kwargs):
        self.client.publish(topic, payload, **kwargs).wait_for_publish(PATIENCE_S)

    def message(self):
        return self.heard.get(timeout=PATIENCE_S)

    def payloads(self, count):
        return [self.message().payload.decode() for _ in range(count)]

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()

    def break_off(self):
        # The socket ends without a DISCONNECT.
        self.client.loop_stop()
        self.client.socket().close()


def same(got, expected):
    if got != expected:
        sys.exit(f"{got!r}, expected {expected!r}")


def every_quality_through_wildcards():
    ada, bob = Client("ada"), Client("bob")
    ada.subscribe(f"{TAG}/+/#", qos=2)
    for qos in range(3):
        bob.publish(f"{TAG}/room/{qos}", str(qos), qos=qos)
    heard = sorted((m.topic, m.qos, m.retain) for m in (ada.message() for _ in range(3)))
    same(heard, [(f"{TAG}/room/{qos}", qos, False) for qos in range(3)])
    ada.leave(), bob.leave()


def retained_messages():
    ada = Client("ada")
    ada.publish(f"{TAG}/kept/1", "old", qos=1, retain=True)
    ada.publish(f"{TAG}/kept/1", "new", qos=2, retain=True)
    ada.publish(f"{TAG}/kept/2", "gone", qos=1, retain=True)
    ada.publish(f"{TAG}/kept/2", "", qos=1, retain=True)
    ada.subscribe(f"{TAG}/kept/#", qos=1)
    message = ada.message()
    same((message.payload, message.retain, message.qos), (b"new", True, 1))
    ada.publish(f"{TAG}/kept/1", "", qos=1, retain=True)
    same(ada.message().retain, False)
    ada.leave()


def sessions_and_their_queues():
    keeper = dict(clean=False, expiry_s=600)
    ada, bob = Client("keeper", **keeper), Client("bob")
    same(ada.present, False)
    ada.subscribe(f"{TAG}/queue", qos=2)
    ada.leave()
    for number in range(50):
        bob.publish(f"{TAG}/queue", str(number), qos=1 + number % 2)
    ada = Client("keeper", **keeper)
    same(ada.present, True)
    got = ada.payloads(50)
    # In order for each quality: paho hands a message of QoS 2 over when it is released.
    for first in (0, 1):
        same([p for p in got if int(p) % 2 == first], [str(n) for n in range(first, 50, 2)])
    ada.leave()
    same(Client("keeper").present, False)
    bob.leave()


def wills():
    ada = Client("ada")
    ada.subscribe(f"{TAG}/will", qos=1)
    Client("mortal", will=(f"{TAG}/will", "bye", 1, False)).break_off()
    same(ada.payloads(1), ["bye"])
    ada.leave()


def shared_subscriptions():
    team = [Client(name) for name in ("one", "two")]
    for member in team:
        member.subscribe(f"$share/team/{TAG}/work", qos=1)
    bob = Client("bob")
    for number in range(10):
        bob.publish(f"{TAG}/work", str(number), qos=1)
    heard = sorted(int(p) for member in team for p in member.payloads(5))
    same(heard, list(range(10)))
    [client.leave() for client in (*team, bob)]


def what_only_mqtt_5_has():
    ada = Client("ada")
    properties = Properties(PacketTypes.SUBSCRIBE)
    properties.SubscriptionIdentifier = 77
    options = SubscribeOptions(qos=1, noLocal=True)
    ada.subscribe(f"{TAG}/five", options=options, properties=properties)
    bob = Client("bob")
    ada.publish(f"{TAG}/five", "own", qos=1)
    said = Properties(PacketTypes.PUBLISH)
    said.UserProperty = [("a", "1"), ("a", "2")]
    said.ContentType, said.CorrelationData = "text/plain", b"\x00\xff"
    said.ResponseTopic, said.MessageExpiryInterval = f"{TAG}/reply", 60
    bob.publish(f"{TAG}/five", "other", qos=1, properties=said)
    message = ada.message()
    heard = message.properties
    same(message.payload, b"other")
    same(heard.SubscriptionIdentifier, [77])
    same(heard.UserProperty, [("a", "1"), ("a", "2")])
    same((heard.ContentType, heard.CorrelationData), ("text/plain", b"\x00\xff"))
    same(heard.ResponseTopic, f"{TAG}/reply")
    same(58 <= heard.MessageExpiryInterval <= 60, True)
    ada.leave(), bob.leave()


every_quality_through_wildcards()
retained_messages()
sessions_and_their_queues()
wills()
shared_subscriptions()
if V5:
    what_only_mqtt_5_has()
