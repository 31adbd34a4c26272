//! Everything that one client has subscribed to, merged.
//!
//! Feeds take turns, so that none starves another; which one comes next depends on nothing but the
//! order of subscriptions and what is ready, so the simulator sees the same merge every time.

use super::packet::{Replay, Wish};
use crate::service::{Alias, Feed, Frame, Inbox};
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::watch;
use tokio_util::sync::ReusableBoxFuture;

/// What comes out of the feeds.
#[derive(Debug)]
pub(super) enum Next {
    /// A message.
    Frame(Sending),
    /// An inbox was given up by its sender, because it was full.
    InboxEnded,
    /// There will be no newer state of a topic here.
    LiveEnded,
}

/// A message and how its subscription wants it.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) frame: Arc<Frame>,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) alias: Alias,
}

#[derive(Default)]
pub(super) struct Feeds {
    subscriptions: Vec<Subscription>,
    /// Whose turn it is.
    turn: usize,
    /// Whether none of them had anything when last asked: whichever has something wakes the connection's task.
    quiet: bool,
}

struct Subscription {
    filter: String,
    qos: u8,
    retain_as_published: bool,
    /// What its next message makes of the one topic alias.
    alias: Alias,
    source: Source,
}

enum Source {
    /// What is still to be replayed, and the wait for something newer.
    Live(Option<Arc<Frame>>, ReusableBoxFuture<'static, Option<LiveReceiver>>),
    Inbox(Inbox),
    /// Nothing but what the connection itself sends there.
    Own,
}

type LiveReceiver = watch::Receiver<Option<Arc<Frame>>>;

impl Feeds {
    /// How many filters are subscribed to.
    pub(super) fn len(&self) -> usize {
        self.subscriptions.len()
    }

    /// Whether that filter is subscribed to.
    pub(super) fn holds(&self, filter: &str) -> bool {
        self.subscriptions.iter().any(|subscription| subscription.filter == filter)
    }

    /// The first inbox that is subscribed to.
    pub(super) fn inbox(&self) -> Option<&str> {
        let is_inbox =
            |subscription: &&Subscription| matches!(subscription.source, Source::Inbox(_));
        self.subscriptions.iter().find(is_inbox).map(|subscription| subscription.filter.as_str())
    }

    /// Adds a subscription, in place of one with the same filter; without a feed it is one to what
    /// the connection itself sends. The first live state gets the one topic alias, if the client
    /// takes aliases.
    pub(super) fn add(&mut self, wish: Wish, feed: Option<Feed>, takes_alias: bool) {
        let Wish { filter, qos, retain_as_published, replay, .. } = wish;
        let known = self.subscriptions.iter().position(|other| other.filter == filter);
        let replay = match replay {
            Replay::Always => true,
            Replay::IfNew => known.is_none(),
            Replay::Never => false,
        };
        let live = matches!(feed, Some(Feed::Live { .. }));
        let source = feed.map_or(Source::Own, |feed| Source::new(feed, replay));
        let others = self.subscriptions.iter().filter(|other| other.filter != filter);
        let free = others.map(|other| other.alias).all(|alias| alias == Alias::None);
        let alias = if takes_alias && live && free { Alias::New } else { Alias::None };
        let new = Subscription { filter, qos, retain_as_published, alias, source };
        self.quiet = false;
        match known {
            Some(index) => self.subscriptions[index] = new,
            None => {
                // Most clients subscribe to two topics and keep them: no room for more.
                self.subscriptions.reserve_exact(1);
                self.subscriptions.push(new);
            }
        }
    }

    /// A message that came out was not sent: what it was to introduce is still to be introduced.
    pub(super) fn withhold(&mut self, sending: &Sending) {
        let of = |subscription: &&mut Subscription| subscription.filter == sending.frame.topic;
        if sending.alias == Alias::New
            && let Some(subscription) = self.subscriptions.iter_mut().find(of)
        {
            subscription.alias = Alias::New;
        }
    }

    /// Ends a subscription; tells whether there was one.
    pub(super) fn remove(&mut self, filter: &str) -> bool {
        let before = self.subscriptions.len();
        self.subscriptions.retain(|subscription| subscription.filter != filter);
        self.subscriptions.len() < before
    }

    /// The task has been woken, perhaps by one of them.
    pub(super) fn wake(&mut self) {
        self.quiet = false;
    }

    /// The next message of whichever feed has one. When none had, none is asked again before [`Feeds::wake`].
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if self.quiet {
            return Poll::Pending;
        }
        let count = self.subscriptions.len();
        for offset in 0..count {
            let index = (self.turn + offset) % count;
            if let Poll::Ready(next) = self.subscriptions[index].poll_next(cx) {
                self.turn = (index + 1) % count;
                return Poll::Ready(next);
            }
        }
        self.quiet = true;
        Poll::Pending
    }
}

impl Subscription {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        self.source.poll_next(cx).map(|came| match came {
            Came::Frame { frame, known } => {
                let named = frame.topic == self.filter;
                let alias = if named { self.alias } else { Alias::None };
                if alias == Alias::New {
                    self.alias = Alias::Known;
                }
                let retain = frame.retained && (known || self.retain_as_published);
                Next::Frame(Sending { frame, qos: self.qos, retain, alias })
            }
            Came::InboxEnded => Next::InboxEnded,
            Came::LiveEnded => Next::LiveEnded,
        })
    }
}

/// What comes out of one source; `known` tells of what was there before the subscription.
enum Came {
    Frame { frame: Arc<Frame>, known: bool },
    InboxEnded,
    LiveEnded,
}

impl Came {
    fn newer(frame: Arc<Frame>) -> Self {
        Came::Frame { frame, known: false }
    }
}

impl Source {
    fn new(feed: Feed, replay: bool) -> Self {
        match feed {
            Feed::Live { first, changes } => {
                let first = first.filter(|_| replay);
                Source::Live(first, ReusableBoxFuture::new(changed(changes)))
            }
            Feed::Inbox(receiver) => Source::Inbox(receiver),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Came> {
        match self {
            Source::Live(first, waiting) => match first.take() {
                Some(frame) => Poll::Ready(Came::Frame { frame, known: true }),
                None => poll_live(waiting, cx),
            },
            Source::Inbox(receiver) => receiver
                .poll_next_unpin(cx)
                .map(|frame| frame.map_or(Came::InboxEnded, Came::newer)),
            Source::Own => Poll::Pending,
        }
    }
}

fn poll_live(
    waiting: &mut ReusableBoxFuture<'static, Option<LiveReceiver>>,
    cx: &mut Context<'_>,
) -> Poll<Came> {
    while let Poll::Ready(receiver) = waiting.poll(cx) {
        let Some(mut receiver) = receiver else {
            // Polled again this stays the answer.
            waiting.set(async { None });
            return Poll::Ready(Came::LiveEnded);
        };
        let newest = receiver.borrow_and_update().clone();
        waiting.set(changed(receiver));
        if let Some(frame) = newest {
            return Poll::Ready(Came::newer(frame));
        }
    }
    Poll::Pending
}

/// The receiver once there is something newer, `None` if there never will be.
async fn changed(mut receiver: LiveReceiver) -> Option<LiveReceiver> {
    receiver.changed().await.ok().map(|()| receiver)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_channel::mpsc;
    use std::task::Waker;

    fn topics(feeds: &mut Feeds) -> Vec<String> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut topics = Vec::new();
        feeds.wake();
        while let Poll::Ready(next) = feeds.poll_next(&mut cx) {
            let Next::Frame(sending) = next else { panic!("{next:?}") };
            topics.push(sending.frame.topic.clone());
        }
        topics
    }

    fn live(mut changes: LiveReceiver) -> Feed {
        let first = changes.borrow_and_update().clone();
        Feed::Live { first, changes }
    }

    fn wish(filter: &str, replay: Replay) -> Wish {
        let filter = filter.to_owned();
        let (no_local, id, has_options) = (false, None, false);
        let retain_as_published = false;
        Wish { filter, qos: 0, retain_as_published, replay, no_local, id, has_options }
    }

    fn frame(topic: &str) -> Arc<Frame> {
        Arc::new(Frame::new(topic, "", false))
    }

    #[test]
    fn feeds_take_turns() {
        let (mut a, receiver_a) = mpsc::channel(4);
        let (mut b, receiver_b) = mpsc::channel(4);
        let mut feeds = Feeds::default();
        feeds.add(wish("a", Replay::Always), Some(Feed::Inbox(receiver_a)), true);
        feeds.add(wish("b", Replay::Always), Some(Feed::Inbox(receiver_b)), true);
        for name in ["a1", "a2", "a3"] {
            a.try_send(frame(name)).unwrap();
        }
        b.try_send(frame("b1")).unwrap();
        assert_eq!(topics(&mut feeds), ["a1", "b1", "a2", "a3"]);
    }

    #[test]
    fn a_subscription_that_comes_while_the_others_are_quiet_is_asked() {
        let mut cx = Context::from_waker(Waker::noop());
        let (_quiet, receiver) = mpsc::channel(4);
        let mut feeds = Feeds::default();
        feeds.add(wish("a", Replay::Always), Some(Feed::Inbox(receiver)), true);
        assert!(feeds.poll_next(&mut cx).is_pending());
        let (mut b, receiver) = mpsc::channel(4);
        b.try_send(frame("b1")).unwrap();
        feeds.add(wish("b", Replay::Always), Some(Feed::Inbox(receiver)), true);
        assert!(feeds.poll_next(&mut cx).is_ready());
    }

    #[test]
    fn a_live_feed_skips_to_the_newest() {
        let (sender, receiver) = watch::channel(None);
        let mut feeds = Feeds::default();
        feeds.add(wish("live", Replay::Always), Some(live(receiver)), true);
        assert_eq!(topics(&mut feeds), [""; 0]);
        for name in ["1", "2", "3"] {
            sender.send_replace(Some(frame(name)));
        }
        assert_eq!(topics(&mut feeds), ["3"]);
        assert_eq!(topics(&mut feeds), [""; 0]);
    }

    #[test]
    fn what_is_known_is_sent_as_the_client_wishes() {
        let (sender, receiver) = watch::channel(Some(frame("now")));
        let mut feeds = Feeds::default();
        let mut subscribe = |replay| {
            feeds.add(wish("live", replay), Some(live(receiver.clone())), true);
            topics(&mut feeds)
        };
        assert_eq!(subscribe(Replay::Never), [""; 0]);
        assert_eq!(subscribe(Replay::IfNew), [""; 0]);
        assert_eq!(subscribe(Replay::Always), ["now"]);
        sender.send_replace(Some(frame("later")));
        assert_eq!(topics(&mut feeds), ["later"]);
        assert!(feeds.remove("live"));
        assert!(!feeds.remove("live"));
    }
}
