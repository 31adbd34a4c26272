//! For how long nothing has come from a peer, in time that this node itself ran.
//!
//! QUIC gives a silent connection up after its idle time-out or three probe time-outs (RFC 9000, section 10.1),
//! whichever is longer. A node that was stopped for some seconds reads acknowledgements that waited in its socket
//! meanwhile as round trips of that length, and so would hold on to a peer that died in the pause for half a minute.

use std::time::Duration;
use tokio::time::Instant;

/// How long a peer has been silent, as far as looks at it can tell.
#[derive(Debug)]
pub(super) struct Silence {
    /// The datagrams that had come at the last look.
    datagrams: u64,
    lasted: Duration,
    looked: Instant,
}

impl Silence {
    pub(super) fn new(now: Instant) -> Self {
        Self { datagrams: 0, lasted: Duration::ZERO, looked: now }
    }

    /// Looks again. Of the time since the last look `step` counts at most: this node looks that often as long as it
    /// runs, and what came while it did not run waits to be read.
    pub(super) fn look(&mut self, datagrams: u64, now: Instant, step: Duration) -> Duration {
        let since = now.saturating_duration_since(self.looked).min(step);
        self.lasted =
            if self.datagrams == datagrams { self.lasted + since } else { Duration::ZERO };
        (self.datagrams, self.looked) = (datagrams, now);
        self.lasted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_secs(1);

    #[test]
    fn silence_lasts_until_something_comes() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        let mut look = |datagrams, ms| {
            silence.look(datagrams, start + Duration::from_millis(ms), STEP).as_millis()
        };
        assert_eq!(look(1, 900), 0);
        assert_eq!(look(1, 1_700), 800);
        assert_eq!(look(1, 1_800), 900);
        assert_eq!(look(2, 2_800), 0);
        assert_eq!(look(2, 3_000), 200);
    }

    #[test]
    fn a_pause_of_this_node_is_no_silence_of_its_peers() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        assert_eq!(silence.look(1, start, STEP), Duration::ZERO);
        assert_eq!(silence.look(1, start + Duration::from_secs(60), STEP), STEP);
        assert_eq!(silence.look(9, start + Duration::from_secs(60), STEP), Duration::ZERO);
    }
}
