//! The deadlines of one connection, behind a single timer.
//!
//! Packets move deadlines, never the timer: it is set anew only when it fires too early, so a busy
//! connection does not touch the runtime's timers.

use super::{Closed, Connection};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

/// One timer, set when first needed.
#[derive(Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready once `deadline` has passed.
    fn poll_at(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl<IO> Connection<'_, IO>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub(super) fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Result<(), Closed> {
        let Some((deadline, closed)) = self.next_deadline() else { return Ok(()) };
        match self.alarm.poll_at(deadline, cx) {
            Poll::Ready(()) => Err(closed),
            Poll::Pending => Ok(()),
        }
    }

    fn next_deadline(&self) -> Option<(Instant, Closed)> {
        let limits = self.edge.limits();
        let connect = self.session.is_none().then(|| self.opened_at + limits.connect_timeout);
        // While nothing is read, it is not the client's silence.
        let silence = self.silence_max.filter(|_| self.ended_at.is_none() && self.may_read());
        let silence = silence.map(|silence| self.heard_at + silence);
        let stuck = self.output.stalled_since().map(|since| since + limits.write_timeout);
        let gone = self.ended_at.map(|since| since + limits.settle_timeout);
        let candidates = [
            (connect, Closed::ConnectTimedOut),
            (silence, Closed::KeepAliveExpired),
            (stuck, Closed::Stuck),
            (gone, Closed::Gone),
        ];
        let set = candidates.into_iter().filter_map(|(at, closed)| Some((at?, closed)));
        set.min_by_key(|(at, _)| *at)
    }
}
