//! Frames on a lane's stream: a length in four bytes, big endian, then that many bytes.
//!
//! The decoder keeps what it was given until a frame is whole and hands it out without copying. A
//! length above the limit is an error before a single byte of that frame is waited for. What a
//! frame means is not known here.

use bytes::{Buf, Bytes, BytesMut};

/// The longest frame that any node writes or accepts: 1 MiB.
///
/// Arbitrary, but larger than a flush of a lane (64 KiB) and than the block of a snapshot, and
/// small enough that one frame per peer and lane is no memory to speak of.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Bytes of a frame's length.
const HEADER_BYTES: usize = 4;

/// A stream of frames is broken for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame announces more than the limit.
    #[error("a frame of {bytes} bytes is above the limit of {limit}")]
    TooBig {
        /// What the header says.
        bytes: usize,
        /// What would have been accepted.
        limit: usize,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended {held} bytes into a frame")]
    Truncated {
        /// How much of the unfinished frame had arrived, its header included.
        held: usize,
    },
}

/// The header of a frame of this payload.
///
/// # Panics
/// When the payload is above [`FRAME_BYTES_MAX`]: senders refuse such a frame earlier.
#[must_use]
pub fn header(payload: &[u8]) -> Bytes {
    assert!(payload.len() <= FRAME_BYTES_MAX, "no frame above the limit is ever written");
    Bytes::copy_from_slice(&(payload.len() as u32).to_be_bytes())
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    held: BytesMut,
}

impl FrameDecoder {
    /// Takes in what arrived next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next whole frame, if it has arrived.
    ///
    /// # Errors
    /// [`FrameError::TooBig`] when the next frame is above the limit; the stream is then of no
    /// further use.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(header) = self.held.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let bytes = u32::from_be_bytes(*header) as usize;
        if bytes > FRAME_BYTES_MAX {
            return Err(FrameError::TooBig { bytes, limit: FRAME_BYTES_MAX });
        }
        if self.held.len() < HEADER_BYTES + bytes {
            return Ok(None);
        }
        self.held.advance(HEADER_BYTES);
        Ok(Some(self.held.split_to(bytes).freeze()))
    }

    /// Says whether the stream may end here.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] when part of a frame is held.
    pub fn finish(&self) -> Result<(), FrameError> {
        match self.held.len() {
            0 => Ok(()),
            held => Err(FrameError::Truncated { held }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut wire = Vec::new();
        for frame in frames {
            wire.extend_from_slice(&header(frame));
            wire.extend_from_slice(frame);
        }
        wire
    }

    fn drain(decoder: &mut FrameDecoder) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some(frame) = decoder.next_frame().unwrap() {
            frames.push(frame.to_vec());
        }
        frames
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut_of_their_stream(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            step in 1usize..200,
        ) {
            let mut decoder = FrameDecoder::default();
            let mut decoded = Vec::new();
            for piece in encode(&frames).chunks(step) {
                decoder.push(piece);
                decoded.extend(drain(&mut decoder));
            }
            prop_assert_eq!(decoded, frames);
            prop_assert_eq!(decoder.finish(), Ok(()));
        }

        #[test]
        fn a_truncated_stream_yields_its_whole_frames_and_then_says_so(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..10),
            cut in any::<prop::sample::Index>(),
        ) {
            let wire = encode(&frames);
            let kept = cut.index(wire.len());
            let mut decoder = FrameDecoder::default();
            decoder.push(&wire[..kept]);
            let decoded = drain(&mut decoder);
            prop_assert_eq!(&decoded[..], &frames[..decoded.len()]);
            let whole = encode(&decoded).len();
            let expected =
                if whole == kept { Ok(()) } else { Err(FrameError::Truncated { held: kept - whole }) };
            prop_assert_eq!(decoder.finish(), expected);
        }

        #[test]
        fn damaged_frames_never_panic(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..10),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut wire = encode(&frames);
            for (at, with) in damage {
                let at = at.index(wire.len());
                wire[at] = with;
            }
            let mut decoder = FrameDecoder::default();
            decoder.push(&wire);
            let mut decoded = 0;
            while let Ok(Some(frame)) = decoder.next_frame() {
                decoded += HEADER_BYTES + frame.len();
            }
            prop_assert!(decoded <= wire.len());
            let _ = decoder.finish();
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let mut decoder = FrameDecoder::default();
            decoder.push(&bytes);
            while let Ok(Some(frame)) = decoder.next_frame() {
                prop_assert!(frame.len() <= FRAME_BYTES_MAX);
            }
        }
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_by_its_header_alone() {
        let mut decoder = FrameDecoder::default();
        decoder.push(&(FRAME_BYTES_MAX as u32 + 1).to_be_bytes());
        assert_eq!(
            decoder.next_frame(),
            Err(FrameError::TooBig { bytes: FRAME_BYTES_MAX + 1, limit: FRAME_BYTES_MAX })
        );
    }
}
