//! Keys: what is secret before the reveal, and the published hash that proves it was fixed at the opening.

use super::Question;
use super::script::Salt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What makes an answer correct.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// The correct options, ascending.
    Choices(Vec<u8>),
    /// Every text that is accepted.
    Texts(Vec<String>),
    /// The number that is sought, in steps from the smallest possible.
    Number(u32),
    /// The options in their correct order.
    Order(Vec<u8>),
}

/// The key as the text that is hashed.
#[must_use]
pub fn key_text(key: &Key) -> String {
    let list = |indexes: &[u8]| {
        let words: Vec<String> = indexes.iter().map(u8::to_string).collect();
        words.join(",")
    };
    match key {
        Key::Choices(choices) => format!("choices:{}", list(choices)),
        // What divides them is marked within them, so that no two lists are one text.
        Key::Texts(texts) => {
            let told = |text: &String| text.replace('\\', r"\\").replace('|', r"\|");
            format!("texts:{}", texts.iter().map(told).collect::<Vec<_>>().join("|"))
        }
        Key::Number(number) => format!("number:{number}"),
        Key::Order(order) => format!("order:{}", list(order)),
    }
}

/// A key, as a person would say it: options by their words.
pub(super) fn in_words(key: &Key, options: &[String]) -> String {
    match key {
        Key::Choices(choices) => named(choices, options).join(", "),
        Key::Order(order) => named(order, options).join(" → "),
        Key::Texts(texts) => texts.join(", "),
        Key::Number(step) => step.to_string(),
    }
}

/// Options by their words, and by their numbers, from 1, where a kind has none.
pub(super) fn named(indexes: &[u8], options: &[String]) -> Vec<String> {
    let word = |index: &u8| match options.get(usize::from(*index)) {
        Some(option) => option.clone(),
        None => format!("option {}", u32::from(*index) + 1),
    };
    indexes.iter().map(word).collect()
}

/// What hides the key of one run of a question until its reveal, in lower-case hexadecimal digits: a hash of
/// the question's salt, which is published never, and the run. So every attempt has its own, and what is
/// revealed of one tells nothing of the next.
#[must_use]
pub fn run_salt(question: &Question, instance: u32) -> String {
    hash_hex(&format!("starling-salt:{}:{instance}", question.salt))
}

/// The hash that is published when a run of a question opens: SHA-256 over the run's salt, a colon, and the
/// key's text. Nothing for a task without a key.
#[must_use]
pub fn commitment(question: &Question, instance: u32) -> Option<String> {
    let key = question.task.key()?;
    Some(hash_hex(&format!("{}:{}", run_salt(question, instance), key_text(&key))))
}

/// The name under which nodes serve a question's picture. It is made with the salt, so that nobody finds a
/// picture before its question is shown.
#[must_use]
pub fn image_name(question: &Question) -> Option<String> {
    let address = question.image.as_ref()?;
    Some(hash_hex(&format!("starling-image:{}:{address}", question.salt)))
}

/// SHA-256 in hexadecimal digits.
pub(super) fn hash_hex(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl std::fmt::Display for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commitment_binds_the_key_and_hides_it_behind_the_salt() {
        let options = ["a", "b"].map(str::to_owned).to_vec();
        let mut question = Question::choice("?", options, 0b10);
        question.salt = Salt([7; 16]);
        let first = commitment(&question, 1);
        let salt = run_salt(&question, 1);
        assert_eq!(first, Some(hash_hex(&format!("{salt}:choices:1"))));
        assert_eq!(salt, hash_hex(&format!("starling-salt:{}:1", "07".repeat(16))));
        assert_ne!(commitment(&question, 2), first);
        question.salt = Salt([8; 16]);
        assert_ne!(commitment(&question, 1), first);
    }

    #[test]
    fn no_two_lists_of_texts_are_one() {
        let told =
            |texts: &[&str]| key_text(&Key::Texts(texts.iter().map(ToString::to_string).collect()));
        assert_eq!(told(&["Lima", "Quito"]), "texts:Lima|Quito");
        assert_eq!(told(&["a|b"]), r"texts:a\|b");
        assert_ne!(told(&["a|b"]), told(&["a", "b"]));
        assert_ne!(told(&[r"a\", "b"]), told(&[r"a\|b"]));
    }
}
