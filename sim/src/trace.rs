//! The record of a run: a rolling hash over everything that crossed a port, and on request the
//! lines themselves.
//!
//! Invariant: the hash is a function of the lines in their order, so two runs with equal hashes
//! showed the world the same bytes at the same virtual nanoseconds.

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::clock;
use crate::mix::fold;
use crate::recording::Recorder;

/// Where the lines of a run can be written.
pub type Sink = Box<dyn Write + Send>;

/// How far a run is, in virtual nanoseconds, for those who wait for it; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Virtual time when something was last recorded.
    pub fn virtual_time(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Trace lines in memory, readable after the run; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// A sink that writes here.
    pub fn sink(&self) -> Sink {
        Box::new(self.clone())
    }

    /// All lines so far.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Something that crossed a port.
#[derive(Clone, Copy, Debug)]
pub struct Crossing<'a> {
    /// What happened, such as `udp sent` or `tcp data`.
    pub what: &'static str,
    /// The sender.
    pub from: SocketAddr,
    /// The receiver.
    pub to: SocketAddr,
    /// The bytes; their length and hash are recorded.
    pub bytes: &'a [u8],
}

/// The shared record of one run.
#[derive(Clone, Debug)]
pub struct Trace(Arc<Mutex<Record>>);

struct Record {
    hash: u64,
    lines: u64,
    progress: Progress,
    recorder: Option<Recorder>,
    sink: Option<Sink>,
    sink_failure: Option<io::Error>,
}

impl Trace {
    /// An empty record that writes its lines to `sink`, if there is one.
    pub fn new(sink: Option<Sink>) -> Self {
        Self::watched(sink, Progress::default(), None)
    }

    /// The same for somebody who waits, and somebody who draws.
    pub(crate) fn watched(
        sink: Option<Sink>,
        progress: Progress,
        recorder: Option<Recorder>,
    ) -> Self {
        let record = Record { hash: 0, lines: 0, progress, recorder, sink, sink_failure: None };
        Self(Arc::new(Mutex::new(record)))
    }

    /// Records bytes that crossed a port.
    pub fn crossing(&self, crossing: &Crossing<'_>) {
        let Crossing { what, from, to, bytes } = *crossing;
        let content = xxh3_64(bytes);
        let words = [xxh3_64(what.as_bytes()), socket_word(from), socket_word(to), content];
        let text = format_args!("{what} {from} {to} {} {content:016x}", bytes.len());
        let mut record = self.lock();
        record.append(&words, text);
        if let Some(recorder) = &record.recorder {
            recorder.crossing(crossing, content);
        }
    }

    /// Records a message between nodes, by a word that stands for what it says.
    pub(crate) fn said(
        &self,
        from: SocketAddr,
        to: SocketAddr,
        word: u64,
        what: &dyn fmt::Display,
    ) {
        let words = [socket_word(from), socket_word(to), word];
        self.lock().append(&words, format_args!("said {from} {to} {what}"));
    }

    /// Records an observation, such as a membership view that changed.
    pub fn note(&self, what: &str, who: IpAddr, value: u64) {
        let words = [xxh3_64(what.as_bytes()), address_word(who), value];
        let mut record = self.lock();
        record.append(&words, format_args!("{what} {who} {value}"));
        if let Some(recorder) = &record.recorder {
            recorder.note(what, who, value);
        }
    }

    /// Who draws this run, if anybody does.
    pub(crate) fn recorder(&self) -> Option<Recorder> {
        self.lock().recorder.clone()
    }

    /// The hash of all lines so far.
    pub fn hash(&self) -> u64 {
        self.lock().hash
    }

    /// The number of lines so far.
    pub fn lines(&self) -> u64 {
        self.lock().lines
    }

    /// Ends the dump; later lines are hashed but not written.
    ///
    /// # Errors
    /// The first write that failed.
    pub(crate) fn close(&self) -> io::Result<()> {
        let mut record = self.lock();
        if let Some(failure) = record.sink_failure.take() {
            return Err(failure);
        }
        record.sink.take().map_or(Ok(()), |mut sink| sink.flush())
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn append(&mut self, words: &[u64], text: fmt::Arguments<'_>) {
        let now_ns = clock::virtual_ns();
        self.hash = words.iter().fold(fold(self.hash, now_ns), |hash, word| fold(hash, *word));
        self.lines += 1;
        self.progress.0.store(now_ns, Ordering::Relaxed);
        let Some(sink) = &mut self.sink else { return };
        if let Err(failure) = writeln!(sink, "{now_ns} {text}") {
            self.sink_failure = Some(failure);
            self.sink = None;
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({:016x}, {} lines)", self.hash, self.lines)
    }
}

/// A number that stands for an address in the hash and in the names of dice.
pub(crate) fn address_word(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => xxh3_64(&address.octets()),
    }
}

fn socket_word(address: SocketAddr) -> u64 {
    address_word(address.ip()).rotate_left(16) ^ u64::from(address.port())
}

/// The first place where two dumps part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line's number, from 1.
    pub line: usize,
    /// The lines of the first dump around it; the differing line is the last but one or last.
    pub left: Vec<String>,
    /// The same of the second dump.
    pub right: Vec<String>,
}

/// How many lines before the difference are shown (arbitrary).
const CONTEXT_LINES: usize = 3;

/// Finds the first line in which two dumps differ; `None` if they are equal.
pub fn first_difference(left: &str, right: &str) -> Option<Difference> {
    let (left, right): (Vec<_>, Vec<_>) = (left.lines().collect(), right.lines().collect());
    let longest = left.len().max(right.len());
    let at = (0..longest).find(|line| left.get(*line) != right.get(*line))?;
    let around = |lines: &[&str]| {
        let shown = lines.iter().take(at + 2).skip(at.saturating_sub(CONTEXT_LINES));
        shown.map(ToString::to_string).collect()
    };
    Some(Difference { line: at + 1, left: around(&left), right: around(&right) })
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the runs part at line {}", self.line)?;
        self.left.iter().try_for_each(|line| writeln!(f, "  first:  {line}"))?;
        self.right.iter().try_for_each(|line| writeln!(f, "  second: {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn the_order_of_lines_matters() {
        let hash = |notes: &[(&str, u64)]| {
            let trace = Trace::new(None);
            notes.iter().for_each(|(what, value)| trace.note(what, HERE, *value));
            trace.hash()
        };
        assert_eq!(hash(&[("a", 1), ("b", 2)]), hash(&[("a", 1), ("b", 2)]));
        assert_ne!(hash(&[("a", 1), ("b", 2)]), hash(&[("b", 2), ("a", 1)]));
        assert_ne!(hash(&[("a", 1)]), hash(&[("a", 1), ("a", 1)]));
    }

    #[test]
    fn one_changed_byte_changes_the_hash() {
        let hash = |bytes: &[u8]| {
            let trace = Trace::new(None);
            let end = SocketAddr::new(HERE, 1);
            trace.crossing(&Crossing { what: "udp sent", from: end, to: end, bytes });
            trace.hash()
        };
        assert_ne!(hash(b"answer 1"), hash(b"answer 2"));
    }

    #[test]
    fn the_first_difference_is_found_with_its_context() {
        let found = first_difference("1\n2\n3\n4\n5\n6", "1\n2\n3\n4\nX\n6").unwrap();
        assert_eq!(
            (found.line, found.left),
            (5, vec!["2".into(), "3".into(), "4".into(), "5".into(), "6".into()])
        );
        assert_eq!(first_difference("1\n2", "1\n2"), None);
        assert_eq!(first_difference("1\n2", "1").unwrap().line, 2);
    }

    #[test]
    fn a_failing_sink_is_reported() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let trace = Trace::new(Some(Box::new(Full)));
        trace.note("a", HERE, 1);
        assert_eq!(trace.close().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
