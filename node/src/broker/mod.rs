//! The players' edge behind an MQTT broker that is there already: the same node, another door.

pub mod slots;
