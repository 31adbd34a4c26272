//! Messages on their way to one client at QoS 1 and 2: which packet ids are in use, and how far each
//! has come.
//!
//! Nothing is kept to be sent again: within a connection the stream does not lose bytes, and after it
//! the inbox and the live state are projected anew. So an entry costs four bytes and no message.

use std::collections::BTreeMap;

/// The ids in use. Invariant: never more than the window.
#[derive(Debug)]
pub(super) struct Deliveries {
    steps: BTreeMap<u16, Step>,
    last_id: u16,
    window: u16,
}

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// At QoS 1: waits for its PUBACK.
    Once,
    /// At QoS 2: waits for its PUBREC.
    Twice,
    /// At QoS 2: waits for its PUBCOMP.
    Released,
}

impl Deliveries {
    /// Ids for a client that takes `receive_maximum` messages at once.
    pub(super) fn new(receive_maximum: u16) -> Self {
        let window = receive_maximum.min(WINDOW_MAX);
        Deliveries { steps: BTreeMap::new(), last_id: 0, window }
    }

    /// Whether one more may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.steps.len() < usize::from(self.window)
    }

    /// An id for one more message. There has to be room.
    pub(super) fn begin(&mut self, qos: u8) -> u16 {
        assert!(self.has_room(), "no more ids in use than the window");
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.steps.contains_key(&self.last_id) {
                let step = if qos == 2 { Step::Twice } else { Step::Once };
                self.steps.insert(self.last_id, step);
                return self.last_id;
            }
        }
    }

    /// A PUBACK. One for an unknown id changes nothing.
    pub(super) fn acknowledged(&mut self, id: u16) {
        if self.steps.get(&id) == Some(&Step::Once) {
            self.steps.remove(&id);
        }
    }

    /// A PUBREC, with or without an error; `Some` with whether the id is known if it is to be
    /// answered by a PUBREL.
    pub(super) fn received(&mut self, id: u16, failed: bool) -> Option<bool> {
        match self.steps.get_mut(&id) {
            Some(Step::Once) => Some(false),
            Some(_) if failed => {
                self.steps.remove(&id);
                None
            }
            Some(step) => {
                *step = Step::Released;
                Some(true)
            }
            None if failed => None,
            None => Some(false),
        }
    }

    /// A PUBCOMP. One for an unknown id changes nothing.
    pub(super) fn completed(&mut self, id: u16) {
        if self.steps.get(&id) == Some(&Step::Released) {
            self.steps.remove(&id);
        }
    }
}

/// Arbitrary: more than a player is told at once, less than what would hide that it stopped reading.
const WINDOW_MAX: u16 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_bounds_what_is_under_way() {
        let mut deliveries = Deliveries::new(2);
        let (one, two) = (deliveries.begin(1), deliveries.begin(2));
        assert!(!deliveries.has_room());
        deliveries.acknowledged(two);
        assert!(!deliveries.has_room(), "a PUBACK is none for QoS 2");
        deliveries.acknowledged(one);
        assert!(deliveries.has_room());
        assert_eq!(deliveries.received(two, false), Some(true));
        deliveries.completed(two);
        assert!(deliveries.steps.is_empty());
    }

    #[test]
    fn ids_are_used_in_turn_and_never_twice_at_once() {
        let mut deliveries = Deliveries::new(u16::MAX);
        let held = deliveries.begin(1);
        let mut seen = 0;
        for _ in 0..70_000 {
            let id = deliveries.begin(1);
            assert!(id != held && id != 0);
            deliveries.acknowledged(id);
            seen = seen.max(id);
        }
        assert_eq!(seen, u16::MAX);
    }

    #[test]
    fn answers_for_unknown_ids_change_nothing() {
        let mut deliveries = Deliveries::new(1);
        deliveries.acknowledged(9);
        deliveries.completed(9);
        assert_eq!(deliveries.received(9, false), Some(false));
        assert_eq!(deliveries.received(9, true), None);
        assert!(deliveries.has_room());
    }
}
