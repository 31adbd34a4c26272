//! How long a client's line takes to and fro, as the kernel measures it.
//!
//! TCP measures its round trips all the time, smoothed (RFC 6298). What a question and its answer spend on the
//! line is about one of them, and no client can say otherwise: it would have to delay its own kernel's
//! acknowledgements. Behind a proxy it is the proxy's line.

use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// A line, as long as whoever holds it holds the connection too.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line(Option<RawFd>);

impl Line {
    /// The line under a TCP connection.
    #[must_use]
    pub fn of(stream: &impl AsRawFd) -> Self {
        Line(Some(stream.as_raw_fd()))
    }

    /// What it takes to and fro; nothing where that is not known.
    #[must_use]
    pub fn round_trip(self) -> Duration {
        self.0.and_then(round_trip).unwrap_or_default()
    }
}

#[cfg(target_os = "linux")]
fn round_trip(socket: RawFd) -> Option<Duration> {
    // SAFETY: it is plain data, of which zeros are valid.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the kernel writes no more than `length` bytes to `info`, and refuses what is no socket.
    let failed = unsafe {
        libc::getsockopt(
            socket,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    (failed == 0).then(|| Duration::from_micros(info.tcpi_rtt.into()))
}

#[cfg(not(target_os = "linux"))]
fn round_trip(_: RawFd) -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::net::{TcpListener, TcpStream};

    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_tells_how_long_a_line_takes() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has room");
        let _near = TcpStream::connect(listener.local_addr().unwrap()).expect("it listens");
        let (far, _) = listener.accept().expect("it has just connected");
        let round_trip = Line::of(&far).round_trip();
        assert!(
            round_trip > Duration::ZERO && round_trip < Duration::from_secs(5),
            "{round_trip:?}"
        );
    }

    #[test]
    fn what_is_no_line_takes_nothing() {
        assert_eq!(Line::default().round_trip(), Duration::ZERO);
        let file = File::open("/dev/null").expect("it is there");
        assert_eq!(Line::of(&file).round_trip(), Duration::ZERO);
    }
}
