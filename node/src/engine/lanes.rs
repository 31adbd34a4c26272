//! The live state on its way to a crowd.
//!
//! What everybody waits for, a change of stage, goes to all at once. Counts, which nobody waits for, go lane
//! by lane: one state for twenty thousand sockets in one go occupies every core for a fifth of a second, in
//! which receipts wait. Who watches belongs to one lane; lanes follow each other by [`GAP`], and a change of
//! stage overtakes what is still to come.

use crate::service::Frame;
use crdt_state::Mono;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Of twenty thousand who watch, some six hundred are in each: a few milliseconds of writing.
const LANES: usize = 32;
/// Between two lanes: 20 ms, so that all have the counts of one second within two thirds of it.
pub(super) const GAP: Duration = Duration::from_millis(20);
/// So many are written to within a millisecond: they need no lanes.
const FEW: usize = 64;

type Shown = Option<Arc<Frame>>;

/// The sending ends.
#[derive(Debug)]
pub(super) struct Lanes {
    senders: Vec<watch::Sender<Shown>>,
    next: Option<Turn>,
}

/// Which lane is shown counts next.
#[derive(Debug)]
struct Turn {
    lane: usize,
    due: Mono,
    /// How many have a turn, this one counted.
    left: usize,
}

/// Where those who watch a show join a lane.
#[derive(Clone)]
pub struct LiveEnds(Arc<Ends>);

struct Ends {
    receivers: Vec<watch::Receiver<Shown>>,
    came: AtomicUsize,
}

impl Lanes {
    pub(super) fn new() -> (Self, LiveEnds) {
        let (senders, receivers) = (0..LANES).map(|_| watch::channel(None)).unzip();
        let ends = Ends { receivers, came: AtomicUsize::new(0) };
        (Lanes { senders, next: None }, LiveEnds(Arc::new(ends)))
    }

    /// Shows a state to all at once, in place of what is still to come.
    pub(super) fn send(&mut self, frame: &Arc<Frame>) {
        self.next = None;
        for lane in &self.senders {
            lane.send_replace(Some(Arc::clone(frame)));
        }
    }

    /// Begins to show what there is lane by lane, at once if few watch: what [`take_turn`](Self::take_turn)
    /// then gives.
    ///
    /// While lanes are at it, it goes on with the next one and around once: were it to begin anew each time, an
    /// owner that is behind would never come to the last.
    pub(super) fn spread(&mut self, now: Mono) {
        let next = self.next.take().unwrap_or(Turn { lane: 0, due: now, left: LANES });
        self.next = Some(Turn { left: LANES, ..next });
    }

    /// Shows the state that `frame` makes to the lanes whose turn has come.
    pub(super) fn take_turn(&mut self, now: Mono, frame: impl FnOnce() -> Arc<Frame>) {
        let Some(Turn { lane, left, .. }) = self.next.take_if(|turn| turn.due <= now) else {
            return;
        };
        let frame = frame();
        if left == LANES && self.watching() <= FEW {
            return self.send(&frame);
        }
        self.senders[lane].send_replace(Some(frame));
        let (lane, left) = ((lane + 1) % LANES, left - 1);
        self.next = (left > 0).then_some(Turn { lane, due: now + GAP, left });
    }

    /// When the next lane has its turn; `None` while all have the same.
    pub(super) fn due(&self) -> Option<Mono> {
        self.next.as_ref().map(|turn| turn.due)
    }

    fn watching(&self) -> usize {
        // One receiver of each is where others come from.
        self.senders.iter().map(|lane| lane.receiver_count().saturating_sub(1)).sum()
    }
}

impl LiveEnds {
    /// The receiver of one more who watches: what there is counts as seen.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Frame>>> {
        let lane = self.0.came.fetch_add(1, Ordering::Relaxed) % LANES;
        let mut receiver = self.0.receivers[lane].clone();
        receiver.mark_unchanged();
        receiver
    }
}

impl fmt::Debug for LiveEnds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveEnds").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(topic: &str) -> Arc<Frame> {
        Arc::new(Frame::new(topic, "", true))
    }

    fn seen(watching: &mut [watch::Receiver<Shown>], topic: &str) -> usize {
        let newest = |it: &mut watch::Receiver<Shown>| it.borrow_and_update().clone();
        watching.iter_mut().filter_map(newest).filter(|frame| frame.topic == topic).count()
    }

    #[test]
    fn few_who_watch_are_shown_counts_at_once() {
        let (mut lanes, ends) = Lanes::new();
        let mut watching: Vec<_> = (0..FEW).map(|_| ends.watch()).collect();
        lanes.spread(Mono::ZERO);
        lanes.take_turn(Mono::ZERO, || frame("counts"));
        assert_eq!(seen(&mut watching, "counts"), FEW);
        assert_eq!(lanes.due(), None);
    }

    #[test]
    fn a_crowd_is_shown_counts_lane_by_lane() {
        let (mut lanes, ends) = Lanes::new();
        let mut watching: Vec<_> = (0..LANES * 10).map(|_| ends.watch()).collect();
        lanes.spread(Mono::ZERO);
        let mut turns = 0;
        while let Some(due) = lanes.due() {
            lanes.take_turn(due, || frame("counts"));
            turns += 1;
            assert_eq!(seen(&mut watching, "counts"), turns * 10);
        }
        assert_eq!(turns, LANES);
    }

    /// An owner that is behind takes longer for all lanes than it is until counts are due again.
    #[test]
    fn every_lane_comes_to_its_turn_however_often_it_begins_anew() {
        let (mut lanes, ends) = Lanes::new();
        let mut watching: Vec<_> = (0..LANES * 10).map(|_| ends.watch()).collect();
        let mut now = Mono::ZERO;
        for round in 0..4 {
            lanes.spread(now);
            for _ in 0..LANES / 3 {
                now += GAP;
                lanes.take_turn(now, || frame(&format!("counts {round}")));
            }
        }
        assert!(watching.iter_mut().all(|it| it.borrow_and_update().is_some()));
        while let Some(due) = lanes.due() {
            lanes.take_turn(due, || frame("the last"));
        }
        let late = LANES - LANES / 3;
        assert_eq!(seen(&mut watching, "the last"), late * 10, "the others have the last round's");
        assert_eq!(seen(&mut watching, "counts 3"), (LANES - late) * 10);
    }

    #[test]
    fn nothing_is_shown_before_its_turn() {
        let (mut lanes, ends) = Lanes::new();
        let mut watching: Vec<_> = (0..LANES * 10).map(|_| ends.watch()).collect();
        lanes.spread(Mono::ZERO);
        for _ in 0..3 {
            lanes.take_turn(Mono::ZERO, || frame("counts"));
        }
        assert_eq!(seen(&mut watching, "counts"), 10);
    }

    #[test]
    fn a_change_of_stage_overtakes_counts() {
        let (mut lanes, ends) = Lanes::new();
        let mut watching: Vec<_> = (0..LANES * 10).map(|_| ends.watch()).collect();
        lanes.spread(Mono::ZERO);
        lanes.take_turn(Mono::ZERO, || frame("counts"));
        lanes.send(&frame("closed"));
        assert_eq!(seen(&mut watching, "closed"), watching.len());
        lanes.take_turn(Mono::ZERO + GAP, || frame("counts"));
        assert_eq!(seen(&mut watching, "counts"), 0, "what was left is of the past");
    }
}
