//! Names: what can be shown, and which two names look the same.
//!
//! Two names are the same when their skeletons are: Unicode's confusable skeleton (UTS 39) of the lower-case
//! name, with `i` and `l` as one. So `Ada`, `ADA` and the `аdа` of another script are one name, as are
//! `PauI` and `Paul`. Every node must agree, since the suffix of a name that was taken twice hangs on it:
//! the tables of Unicode are pinned with their crate.

use crate::caps;
use unicode_security::MixedScript;
use unicode_security::confusable_detection::skeleton as prototypes;

/// A name that cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left after trimming.
    #[error("the name is empty")]
    Empty,
    /// It would break layouts and frames.
    #[error("the name has {bytes} bytes, at most {max} are possible")]
    Long {
        /// What it has.
        bytes: usize,
        /// What it may have.
        max: usize,
    },
    /// It would not be what it looks like.
    #[error("the name contains the control character U+{code:04X}")]
    Control {
        /// The first such character.
        code: u32,
    },
    /// It would look like a name of another script.
    #[error("the name mixes letters of scripts that look alike")]
    Mixed,
}

impl NameError {
    /// The stable word for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            NameError::Empty => "name_empty",
            NameError::Long { .. } => "name_long",
            NameError::Control { .. } => "name_control",
            NameError::Mixed => "name_mixed",
        }
    }
}

/// Trims a name and checks that it can be shown.
///
/// # Errors
/// When it is empty, too long, contains what cannot be seen, or mixes Greek or Cyrillic with other letters.
pub fn check_name(name: &str) -> Result<String, NameError> {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(control) = find_hidden(&name) {
        return Err(NameError::Control { code: control.into() });
    }
    if !name.is_ascii()
        && !name.as_str().is_single_script()
        && name.chars().any(is_greek_or_cyrillic)
    {
        return Err(NameError::Mixed);
    }
    match name.len() {
        _ if skeleton(&name).is_empty() => Err(NameError::Empty),
        bytes if bytes > caps::NAME_BYTES_MAX => {
            Err(NameError::Long { bytes, max: caps::NAME_BYTES_MAX })
        }
        _ => Ok(name),
    }
}

/// The first character that cannot be seen. A joiner can where it joins: in emoji and in some scripts, never
/// after ASCII.
fn find_hidden(name: &str) -> Option<char> {
    let before = std::iter::once(' ').chain(name.chars());
    let hides = |(before, c): &(char, char)| {
        c.is_control() || is_invisible(*c) || (*c == '\u{200d}' && before.is_ascii())
    };
    before.zip(name.chars()).find(hides).map(|(_, c)| c)
}

/// The first character of a text that does something to what is shown around it: a control character, or one that
/// turns the direction of what follows. Of hosts' texts, in which marks of other scripts are welcome.
#[must_use]
pub fn find_unruly(text: &str) -> Option<char> {
    let is_unruly =
        |c: &char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().find(is_unruly)
}

/// Zero-width, direction-changing, filling and tagging characters, with which one name could pass for
/// another.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{2800}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn is_greek_or_cyrillic(c: char) -> bool {
    matches!(
        c,
        '\u{370}'..='\u{52f}' | '\u{1c80}'..='\u{1c8f}' | '\u{1d26}'..='\u{1d2b}'
            | '\u{1f00}'..='\u{1fff}' | '\u{2de0}'..='\u{2dff}' | '\u{a640}'..='\u{a69f}'
    )
}

/// What all names that look like this one have in common; for comparing, never for showing.
#[must_use]
pub fn skeleton(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    for word in name.split_whitespace() {
        if !key.is_empty() {
            key.push(' ');
        }
        if word.bytes().all(is_plain) {
            key.extend(word.bytes().flat_map(folded_ascii).map(char::from));
        } else {
            key.push_str(&folded(word));
        }
    }
    key
}

/// Any word: lower case, looked up in Unicode's tables, lower case again, since some prototypes are not.
fn folded(word: &str) -> String {
    let lower = word.to_lowercase();
    let looks: String = prototypes(&lower).collect();
    looks.to_lowercase().chars().map(|c| if c == 'i' { 'l' } else { c }).collect()
}

/// Whether [`folded_ascii`] knows a byte.
pub(crate) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'#' | b'!' | b'|')
}

/// What [`folded`] does to a byte of ASCII, without the tables: nearly all names are nothing else.
pub(crate) fn folded_ascii(byte: u8) -> impl Iterator<Item = u8> {
    let (first, second) = match byte.to_ascii_lowercase() {
        b'0' => (b'o', None),
        b'1' | b'i' | b'|' => (b'l', None),
        b'm' => (b'r', Some(b'n')),
        other => (other, None),
    };
    [Some(first), second].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_cannot_be_shown_is_refused() {
        assert_eq!(check_name("  Ada   L. "), Ok("Ada L.".into()));
        assert_eq!(check_name(" "), Err(NameError::Empty));
        for hidden in [
            '\u{200d}',
            '\u{202e}',
            '\u{200b}',
            '\u{2067}',
            '\u{feff}',
            '\u{ad}',
            '\u{3164}',
            '\u{e0041}',
            '\u{7}',
        ] {
            let code = hidden.into();
            assert_eq!(check_name(&format!("a{hidden}b")), Err(NameError::Control { code }));
        }
        assert!(matches!(check_name(&"x".repeat(49)), Err(NameError::Long { bytes: 49, .. })));
    }

    #[test]
    fn scripts_that_look_alike_are_not_mixed() {
        for mixed in ["Аda", "Adа", "Βob", "xοx"] {
            assert_eq!(check_name(mixed), Err(NameError::Mixed), "{mixed}");
        }
        for name in
            ["Ada", "Zoë", "Вася", "Αθηνά", "田中さん", "김 Lee", "محمد", "👩‍🚀 Ada", "José 7"]
        {
            assert_eq!(check_name(name), Ok(name.into()), "{name}");
        }
    }

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        let alike = [
            ("Ada", " ADA "),
            ("Paul", "PauI"),
            ("Paul", "Pau1"),
            ("Otto", "0tto"),
            ("Emma", "Ernrna"),
            ("pop", "рор"),
            ("ｆｕｌｌ", "full"),
            ("𝐀da", "Ada"),
            ("Вася", "вАСЯ"),
        ];
        for (one, other) in alike {
            assert_eq!(skeleton(one), skeleton(other), "{one} {other}");
        }
        for (one, other) in [("Ada", "Ida"), ("Jose", "José"), ("Ann", "Anna"), ("a b", "ab")] {
            assert_ne!(skeleton(one), skeleton(other), "{one} {other}");
        }
    }

    #[test]
    fn the_short_way_is_the_long_way() {
        for byte in (0..128_u8).filter(|byte| is_plain(*byte)) {
            let word = char::from(byte).to_string();
            let short: String = folded_ascii(byte).map(char::from).collect();
            assert_eq!(short, folded(&word), "{word:?}");
        }
    }

    proptest! {
        #[test]
        fn a_skeleton_is_one_for_every_spelling_of_case_and_space(name in "\\PC{0,20}") {
            let spaced = format!("  {} ", name.replace(' ', "  "));
            prop_assert_eq!(skeleton(&spaced), skeleton(&name));
            prop_assert_eq!(skeleton(&name.to_lowercase()), skeleton(&name));
        }

        #[test]
        fn what_can_be_shown_stays_as_it_is(name in "\\PC{0,20}") {
            if let Ok(shown) = check_name(&name) {
                prop_assert_eq!(check_name(&shown), Ok(shown));
            }
        }
    }
}
