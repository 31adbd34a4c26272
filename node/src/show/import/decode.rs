//! Bytes to text: a byte order mark decides, then UTF-8, then the likeliest legacy encoding.
//!
//! A file that is none of these is refused with the byte that shows it; nothing is ever replaced by a
//! question mark.

use super::Format;
use crate::service::view::Problem;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use std::borrow::Cow;

/// A text and what it was written in.
#[derive(Debug)]
pub(super) struct Decoded<'b> {
    pub text: Cow<'b, str>,
    pub encoding: &'static str,
}

/// The text of a file, without a byte order mark.
///
/// # Errors
/// The byte that belongs to no encoding that the file could have.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded<'_>, Vec<Problem>> {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return decode_as(&bytes[length..], length, encoding);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Decoded { text: text.into(), encoding: UTF_8.name() }),
        Err(error) => {
            let likely = detect(bytes);
            if likely.is_single_byte() && is_rather_utf8(bytes) {
                let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
                return Err(vec![misfit(bytes, error.valid_up_to(), 0, &before, UTF_8.name())]);
            }
            decode_as(bytes, 0, likely)
        }
    }
}

/// Whether as many letters are whole in UTF-8 as are broken: read as one byte a letter, all of them would be two
/// wrong ones.
fn is_rather_utf8(bytes: &[u8]) -> bool {
    let (mut whole, mut broken) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        whole += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        broken += usize::from(!chunk.invalid().is_empty());
    }
    whole > 0 && whole >= broken
}

/// The likeliest encoding of bytes that are not UTF-8.
fn detect(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Deny)
}

fn decode_as<'b>(
    bytes: &'b [u8],
    skipped: usize,
    encoding: &'static Encoding,
) -> Result<Decoded<'b>, Vec<Problem>> {
    if encoding == UTF_8
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return Ok(Decoded { text: text.into(), encoding: encoding.name() });
    }
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut text = String::new();
    let room = decoder.max_utf8_buffer_length_without_replacement(bytes.len());
    text.reserve(room.unwrap_or(bytes.len()));
    let (result, read) = decoder.decode_to_string_without_replacement(bytes, &mut text, true);
    match result {
        DecoderResult::InputEmpty => Ok(Decoded { text: text.into(), encoding: encoding.name() }),
        DecoderResult::Malformed(length, after) => {
            let at = read.saturating_sub(usize::from(length) + usize::from(after));
            Err(vec![misfit(bytes, at, skipped, &text, encoding.name())])
        }
        DecoderResult::OutputFull => unreachable!("the longest possible text fits"),
    }
}

/// The problem of one byte that `encoding` has no meaning for.
fn misfit(bytes: &[u8], at: usize, skipped: usize, before: &str, encoding: &str) -> Problem {
    let byte = bytes.get(at).copied().unwrap_or_default();
    let offset = at + skipped;
    let neither = if encoding == UTF_8.name() { "" } else { "neither UTF-8 nor " };
    let not = if neither.is_empty() { "not " } else { "" };
    let message = format!("byte {offset} is 0x{byte:02X}, which is {neither}{not}{encoding}");
    let (line, column) = place_after(before);
    Problem { line, column, field: String::new(), message }
}

/// JSON and TOML are Unicode by definition: a guess has no place there.
///
/// # Errors
/// The first byte that is not UTF-8.
pub(super) fn require_unicode(
    bytes: &[u8],
    decoded: &Decoded<'_>,
    format: Format,
) -> Result<(), Vec<Problem>> {
    if [UTF_8, UTF_16LE, UTF_16BE].iter().any(|encoding| encoding.name() == decoded.encoding) {
        return Ok(());
    }
    let Err(error) = std::str::from_utf8(bytes) else { return Ok(()) };
    let at = error.valid_up_to();
    let (line, column) = place_after(&String::from_utf8_lossy(&bytes[..at]));
    let (byte, name, likely) = (bytes[at], format.name(), decoded.encoding);
    let message = format!(
        "byte {at} is 0x{byte:02X}, which is not UTF-8, as {name} must be; it looks like {likely}"
    );
    Err(vec![Problem { line, column, field: String::new(), message }])
}

fn place_after(before: &str) -> (usize, usize) {
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
