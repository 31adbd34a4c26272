//! What operators do to the node.

use super::Hub;
use crate::service::Ops;
use crate::service::view::{MemberEventView, StandingView};
use gossip::network::Standing;
use std::sync::Arc;
use tokio::sync::broadcast;
use tracing::info;

impl Ops for Hub {
    fn drain(&self, draining: bool) -> StandingView {
        let wanted = if draining { Standing::Draining } else { Standing::Ready };
        // A node that leaves does not come back.
        if self.network.standing() != wanted && self.network.standing() != Standing::Left {
            info!(standing = wanted.word(), "as an operator wants it");
            self.network.stand(wanted);
        }
        self.standing()
    }

    fn standing(&self) -> StandingView {
        let standing = self.network.standing().word().to_owned();
        StandingView { standing, sessions: (self.sessions)() }
    }

    fn member_events(&self) -> broadcast::Receiver<Arc<MemberEventView>> {
        self.member_events.feed()
    }
}
