//! Real processes, real clients, real faults: what the tests of the whole system are made of.
//!
//! A test starts a [`Cluster`](cluster::Cluster) of `starling` processes, lets
//! [`Player`](player::Player)s in over MQTT, drives the show over HTTP, kills what it likes, and
//! judges the [`Export`](export::Export) by what the clients wrote down themselves. Nothing here is
//! part of the product, and no check relies on a node's own counters.

pub mod bank;
pub mod behind;
pub mod binary;
pub mod broker;
pub mod browser;
pub mod cluster;
pub mod crowd;
pub mod export;
pub mod expression;
pub mod figures;
pub mod javascript;
pub mod lab;
pub mod mosquitto;
pub mod paho;
pub mod pcap;
pub mod platform;
pub mod player;
pub mod python;
pub mod raw;
pub mod shows;
pub mod single;
pub mod solo;
