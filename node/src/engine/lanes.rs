//! The live state on its way to a crowd.
//!
//! What everybody waits for, a change of stage, goes to all at once. Counts, which nobody waits for, go lane
//! by lane: one state for twenty thousand sockets in one go occupies every core for a fifth of a second, in
//! which receipts wait. Who watches belongs to one lane; there are more of them as more come, so that a receipt
//! waits for as few sockets as can be. Lanes follow each other so that no more than [`PER_S`] sockets have counts in a
//! second: the larger a crowd, the less often, and what counts take of a node is bounded. A change of stage overtakes
//! what is still to come.

use crate::service::Frame;
use crdt_state::Mono;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// So few that they need no lanes at all.
const FEW: usize = 64;
/// How many watch in a lane before there is another one: written to within a fifth of a millisecond, so that receipts
/// hardly wait.
const LANE: usize = 16;
/// Lanes of one show. Arbitrary: in a crowd that is larger than a node has files for, lanes are longer.
const LANES_MAX: usize = 2_048;
/// How many are sent counts in a second: up to so many who watch all have them each second. A write is some ten
/// microseconds of a core, so it is one core's twenty-fifth part, whatever the crowd.
const PER_S: u32 = 4_000;

type Shown = Option<Arc<Frame>>;
type Senders = RwLock<Vec<watch::Sender<Shown>>>;

/// The sending ends.
#[derive(Debug)]
pub(super) struct Lanes {
    senders: Arc<Senders>,
    next: Option<Turn>,
}

/// Which lane is shown counts next.
#[derive(Debug)]
struct Turn {
    lane: usize,
    due: Mono,
    /// How many have a turn, this one counted; nothing while none has had it.
    left: Option<usize>,
}

/// Where those who watch a show join a lane.
#[derive(Clone)]
pub struct LiveEnds(Arc<Ends>);

struct Ends {
    /// Of the owner, and gone with it.
    senders: Weak<Senders>,
    receivers: RwLock<Vec<watch::Receiver<Shown>>>,
    came: AtomicUsize,
}

impl Lanes {
    pub(super) fn new() -> (Self, LiveEnds) {
        let (sender, receiver) = watch::channel(None);
        let senders = Arc::new(RwLock::new(vec![sender]));
        let ends = Ends {
            senders: Arc::downgrade(&senders),
            receivers: RwLock::new(vec![receiver]),
            came: AtomicUsize::new(0),
        };
        (Lanes { senders, next: None }, LiveEnds(Arc::new(ends)))
    }

    /// Shows a state to all at once, in place of what is still to come.
    pub(super) fn send(&mut self, frame: &Arc<Frame>) {
        self.next = None;
        for lane in &*self.senders.read().unwrap_or_else(PoisonError::into_inner) {
            lane.send_replace(Some(Arc::clone(frame)));
        }
    }

    /// Begins to show what there is lane by lane, at once if few watch: what [`take_turn`](Self::take_turn)
    /// then gives.
    ///
    /// While lanes are at it, it goes on with the next one and around once: were it to begin anew each time, an
    /// owner that is behind would never come to the last.
    pub(super) fn spread(&mut self, now: Mono) {
        let next = self.next.take().unwrap_or(Turn { lane: 0, due: now, left: None });
        self.next = Some(Turn { left: None, ..next });
    }

    /// Shows the state that `frame` makes to the lanes whose turn has come.
    pub(super) fn take_turn(&mut self, now: Mono, frame: impl FnOnce() -> Arc<Frame>) {
        let Some(Turn { lane, left, .. }) = self.next.take_if(|turn| turn.due <= now) else {
            return;
        };
        let frame = frame();
        if left.is_none() && self.watching() <= FEW {
            return self.send(&frame);
        }
        let senders = self.senders.read().unwrap_or_else(PoisonError::into_inner);
        let (count, lane) = (senders.len(), lane % senders.len());
        senders[lane].send_replace(Some(frame));
        let shown = watching(&senders[lane]) as u32;
        let left = left.unwrap_or(count) - 1;
        let others = (1..=left).map(|step| (step, (lane + step) % count));
        let next = others.into_iter().find(|(_, lane)| watching(&senders[*lane]) > 0);
        let due = now + Duration::from_secs(1) * shown / PER_S;
        self.next = next.map(|(step, lane)| Turn { lane, due, left: Some(left + 1 - step) });
    }

    /// How many watch.
    pub(super) fn watching(&self) -> usize {
        let senders = self.senders.read().unwrap_or_else(PoisonError::into_inner);
        senders.iter().map(watching).sum()
    }

    /// When the next lane has its turn; `None` while all have the same.
    pub(super) fn due(&self) -> Option<Mono> {
        self.next.as_ref().map(|turn| turn.due)
    }
}

/// How many watch in a lane: one receiver of each is where others come from.
fn watching(lane: &watch::Sender<Shown>) -> usize {
    lane.receiver_count().saturating_sub(1)
}

impl LiveEnds {
    /// The receiver of one more who watches: what there is counts as seen.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Arc<Frame>>> {
        let came = self.0.came.fetch_add(1, Ordering::Relaxed);
        let lane = match came / LANE {
            lane if lane < LANES_MAX => lane,
            _ => came % LANES_MAX,
        };
        let known = {
            let receivers = self.0.receivers.read().unwrap_or_else(PoisonError::into_inner);
            receivers.get(lane).cloned()
        };
        let mut receiver = known.unwrap_or_else(|| self.0.open(lane));
        receiver.mark_unchanged();
        receiver
    }
}

impl Ends {
    /// Opens lanes up to this one, with what the first one shows. Once the owner is gone nobody shows anything in any.
    fn open(&self, lane: usize) -> watch::Receiver<Shown> {
        let mut receivers = self.receivers.write().unwrap_or_else(PoisonError::into_inner);
        let Some(senders) = self.senders.upgrade() else { return receivers[0].clone() };
        let mut senders = senders.write().unwrap_or_else(PoisonError::into_inner);
        while receivers.len() <= lane {
            let (sender, receiver) = watch::channel(senders[0].borrow().clone());
            senders.push(sender);
            receivers.push(receiver);
        }
        receivers[lane].clone()
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

    /// Of a crowd in these tests.
    const LANES: usize = 30;
    /// From one lane's turn to the next one's.
    const GAP: Duration = Duration::from_millis(4);

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
        let mut watching: Vec<_> = (0..LANES * LANE).map(|_| ends.watch()).collect();
        lanes.spread(Mono::ZERO);
        let mut turns = 0;
        while let Some(due) = lanes.due() {
            lanes.take_turn(due, || frame("counts"));
            turns += 1;
            assert_eq!(seen(&mut watching, "counts"), turns * LANE);
        }
        assert_eq!(turns, LANES);
    }

    #[test]
    fn a_large_crowd_is_shown_counts_less_often_and_so_many_of_it_in_a_second() {
        let (mut lanes, ends) = Lanes::new();
        let crowd = 5 * PER_S as usize;
        let mut watching: Vec<_> = (0..crowd).map(|_| ends.watch()).collect();
        let second = Duration::from_secs(1);
        for round in 0..5 {
            let topic = format!("counts {round}");
            let now = second * round;
            lanes.spread(now);
            while let Some(due) = lanes.due().filter(|due| *due < now + second) {
                lanes.take_turn(due, || frame(&topic));
            }
            assert_eq!(seen(&mut watching, &topic), PER_S as usize);
        }
        assert!(watching.iter_mut().all(|it| it.borrow_and_update().is_some()), "all by now");
    }

    /// An owner that is behind takes longer for all lanes than it is until counts are due again.
    #[test]
    fn every_lane_comes_to_its_turn_however_often_it_begins_anew() {
        let (mut lanes, ends) = Lanes::new();
        let mut watching: Vec<_> = (0..LANES * LANE).map(|_| ends.watch()).collect();
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
        assert_eq!(
            seen(&mut watching, "the last"),
            late * LANE,
            "the others have the last round's"
        );
        assert_eq!(seen(&mut watching, "counts 3"), (LANES - late) * LANE);
    }

    #[test]
    fn there_are_more_lanes_as_more_come_and_those_that_are_left_have_no_turn() {
        let (mut lanes, ends) = Lanes::new();
        lanes.send(&frame("open"));
        let mut watching: Vec<_> = (0..LANES_MAX * LANE * 2).map(|_| ends.watch()).collect();
        assert_eq!(lanes.senders.read().unwrap().len(), LANES_MAX);
        assert_eq!(seen(&mut watching, "open"), watching.len(), "who comes sees what there is");
        watching.truncate(LANE * 5);
        lanes.spread(Mono::ZERO);
        let mut turns = 0;
        while let Some(due) = lanes.due() {
            lanes.take_turn(due, || frame("counts"));
            turns += 1;
        }
        assert_eq!((turns, seen(&mut watching, "counts")), (5, LANE * 5));
    }

    #[test]
    fn who_watches_hears_that_the_owner_is_gone_whenever_it_came() {
        let (lanes, ends) = Lanes::new();
        let early = ends.watch();
        drop(lanes);
        let late: Vec<_> = (0..LANE * 2).map(|_| ends.watch()).collect();
        assert!(late.iter().chain([&early]).all(|watching| watching.has_changed().is_err()));
    }

    #[test]
    fn nothing_is_shown_before_its_turn() {
        let (mut lanes, ends) = Lanes::new();
        let mut watching: Vec<_> = (0..LANES * LANE).map(|_| ends.watch()).collect();
        lanes.spread(Mono::ZERO);
        for _ in 0..3 {
            lanes.take_turn(Mono::ZERO, || frame("counts"));
        }
        assert_eq!(seen(&mut watching, "counts"), LANE);
    }

    #[test]
    fn a_change_of_stage_overtakes_counts() {
        let (mut lanes, ends) = Lanes::new();
        let mut watching: Vec<_> = (0..LANES * LANE).map(|_| ends.watch()).collect();
        lanes.spread(Mono::ZERO);
        lanes.take_turn(Mono::ZERO, || frame("counts"));
        lanes.send(&frame("closed"));
        assert_eq!(seen(&mut watching, "closed"), watching.len());
        lanes.take_turn(Mono::ZERO + GAP, || frame("counts"));
        assert_eq!(seen(&mut watching, "counts"), 0, "what was left is of the past");
    }
}
