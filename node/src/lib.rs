//! A whole Starling node as a library: what the `starling` binary runs and the simulator runs too.

pub mod service;
