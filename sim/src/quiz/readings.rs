//! Live states as players read them. A node sends all its players the same bytes, so that they are read
//! once for all who get them within a short time, and not once for each.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use node::service::view::LiveView;

use super::player::{leaks, read};
use crate::schedule::secrets_in;

/// How many are remembered: a few of each node.
const REMEMBERED: usize = 16;

/// A live state, and what it gives away.
pub(crate) struct Reading {
    pub(crate) live: LiveView,
    /// What its own phase forbids.
    pub(crate) leaks: Vec<String>,
    /// The questions whose answers it holds.
    pub(crate) secrets: Vec<u32>,
}

/// What was read last, the newest first.
type Known = VecDeque<(Bytes, Arc<Reading>)>;

/// What was read last; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Readings(Arc<Mutex<Known>>);

impl Readings {
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn read(&self, payload: &Bytes) -> io::Result<Arc<Reading>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, reading)) = known.iter().find(|(bytes, _)| bytes == payload) {
            return Ok(Arc::clone(reading));
        }
        let live: LiveView = read(payload)?;
        let secrets = secrets_in(&String::from_utf8_lossy(payload));
        let reading = Arc::new(Reading { leaks: leaks(&live), secrets, live });
        known.truncate(REMEMBERED - 1);
        known.push_front((payload.clone(), Arc::clone(&reading)));
        Ok(reading)
    }
}
