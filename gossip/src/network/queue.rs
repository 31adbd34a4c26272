//! What waits for one peer on one lane: first in, first out, bounded in frames and in bytes.
//!
//! Full means refused at once: the sender keeps its data and lets the peer pull it later. Nothing
//! is ever dropped from the middle, so what leaves is always a prefix of what was taken.

use super::lock;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::sync::Notify;

/// Frames that are written in one go at most.
const BATCH_FRAMES: usize = 64;

/// Bytes after which a batch takes no further frame: four flushes of a lane.
const BATCH_BYTES: usize = 256 << 10;

/// A bounded queue of frames with one reader.
#[derive(Debug)]
pub(super) struct LaneQueue {
    waiting: Mutex<Waiting>,
    filled: Notify,
    frames_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Bytes>,
    bytes: usize,
    closed: bool,
}

impl LaneQueue {
    /// An empty queue that refuses whatever would exceed either limit.
    pub(super) fn new(frames_max: usize, bytes_max: usize) -> Self {
        LaneQueue { waiting: Mutex::default(), filled: Notify::new(), frames_max, bytes_max }
    }

    /// Takes a frame in, or hands it back when the queue is full or closed.
    pub(super) fn push(&self, frame: Bytes) -> Result<(), Bytes> {
        let mut waiting = lock(&self.waiting);
        let full =
            waiting.frames.len() >= self.frames_max || waiting.bytes + frame.len() > self.bytes_max;
        if full || waiting.closed {
            return Err(frame);
        }
        waiting.bytes += frame.len();
        waiting.frames.push_back(frame);
        crdt_state::bounded!(LaneFrames, waiting.frames.len(), self.frames_max);
        crdt_state::bounded!(LaneBytes, waiting.bytes, self.bytes_max);
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for frames and takes as many as make a good write; `None` once closed.
    pub(super) async fn next_batch(&self) -> Option<Vec<Bytes>> {
        loop {
            if let Some(batch) = self.take_batch()? {
                return Some(batch);
            }
            self.filled.notified().await;
        }
    }

    /// Ends the queue and frees what it holds: its connection is gone.
    pub(super) fn close(&self) {
        *lock(&self.waiting) = Waiting { closed: true, ..Waiting::default() };
        self.filled.notify_one();
    }

    fn take_batch(&self) -> Option<Option<Vec<Bytes>>> {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return None;
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_FRAMES && bytes < BATCH_BYTES {
            let Some(frame) = waiting.frames.pop_front() else { break };
            bytes += frame.len();
            batch.push(frame);
        }
        waiting.bytes -= bytes;
        Some((!batch.is_empty()).then_some(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_drained_one_accepts_again() {
        let queue = LaneQueue::new(2, 10);
        queue.push(Bytes::from_static(b"one")).unwrap();
        assert_eq!(queue.push(Bytes::from_static(b"too long")), Err("too long".into()));
        queue.push(Bytes::from_static(b"two")).unwrap();
        assert_eq!(queue.push(Bytes::new()), Err(Bytes::new()));
        assert_eq!(queue.next_batch().await.unwrap(), ["one", "two"]);
        queue.push(Bytes::from_static(b"too long")).unwrap();
    }

    #[tokio::test]
    async fn a_closed_queue_ends_its_reader_and_refuses_writers() {
        let queue = LaneQueue::new(2, 10);
        queue.push(Bytes::from_static(b"lost")).unwrap();
        queue.close();
        assert_eq!(queue.next_batch().await, None);
        assert!(queue.push(Bytes::new()).is_err());
    }
}
