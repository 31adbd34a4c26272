//! What players send, and what becomes of it.

use super::{Draw, script};

/// What a player sent, whatever the kind makes of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    /// Chosen options, in the order in which they were sent.
    pub choices: Vec<u8>,
    /// A text, as typed.
    pub text: Option<String>,
    /// A number.
    pub number: Option<f64>,
    /// What is staked.
    pub stake: Option<u32>,
    /// How many times.
    pub count: Option<u32>,
    /// Whose post is meant.
    pub post: Option<PostId>,
    /// For how long after the opening the player's stream was not there yet, in milliseconds, as the player
    /// says. Whoever takes it bounds it.
    pub shift_ms: Option<u32>,
    /// How long the question and the answer took on the player's line, in milliseconds, as the node has
    /// measured it; never what a player says.
    pub credit_ms: u32,
    /// Whether its words are abuse, where the node has looked already; never what a player says.
    pub abuse: Option<bool>,
}

impl Given {
    /// Chosen options and nothing else.
    #[must_use]
    pub fn choices(choices: &[u8]) -> Self {
        Given { choices: choices.to_vec(), ..Given::default() }
    }

    /// One of so many options by chance, or several.
    #[must_use]
    pub fn guessed(options: usize, several: bool, draw: Draw<'_>) -> Self {
        let count = options.min(usize::from(u8::MAX)) as u8;
        if count == 0 {
            return Given::default();
        }
        let first = draw(u32::from(count)) as u8;
        let choices = (0..count).filter(|option| *option == first || (several && draw(2) == 0));
        Given { choices: choices.collect(), ..Given::default() }
    }

    /// One of `options`.
    ///
    /// # Errors
    /// When it is not exactly one, or beyond them.
    pub fn one_of(&self, options: usize) -> Result<u8, Invalid> {
        match self.some_of(options, 1)?.as_slice() {
            [one] => Ok(*one),
            _ => Err(Invalid("choose one option".to_owned())),
        }
    }

    /// At least one of `options`, at most `most`.
    ///
    /// # Errors
    /// When there is none, too many, or one beyond the options.
    pub fn some_of(&self, options: usize, most: usize) -> Result<Vec<u8>, Invalid> {
        let mut choices = self.choices.clone();
        choices.sort_unstable();
        choices.dedup();
        if choices.is_empty() {
            return Err(Invalid("no option is chosen".to_owned()));
        }
        if let Some(beyond) = choices.iter().find(|choice| usize::from(**choice) >= options) {
            return Err(Invalid(format!("there is no option {beyond}")));
        }
        if choices.len() > most {
            let chosen = choices.len();
            let takes = if most == 1 { "one".to_owned() } else { format!("at most {most}") };
            return Err(Invalid(format!(
                "{chosen} options are chosen, this question takes {takes}"
            )));
        }
        Ok(choices)
    }

    /// A text that can be shown, its white space made single.
    ///
    /// # Errors
    /// When there is none, it is empty, too long or holds control characters.
    pub fn typed(&self) -> Result<String, Invalid> {
        let text = self.text.as_deref().unwrap_or_default();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            return Err(Invalid("no text is given".to_owned()));
        }
        if text.len() > script::caps::ANSWER_BYTES_MAX {
            let most = script::caps::ANSWER_BYTES_MAX;
            return Err(Invalid(format!("the text has {} bytes, at most {most} fit", text.len())));
        }
        if text.chars().any(|c| c.is_control() || crate::name::is_invisible(c)) {
            return Err(Invalid("the text contains a character that cannot be shown".to_owned()));
        }
        Ok(text)
    }
}

/// A post of a player: a hash of the run, the player and the text, so that a repetition is the same post.
pub type PostId = u64;

/// What the state holds of what a player sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The player's one answer to the round: the earliest holds.
    Answer {
        /// At most [`Cell::VALUE_MAX`](crate::Cell::VALUE_MAX).
        value: u32,
        /// What was typed, if the value does not say it.
        text: Option<String>,
    },
    /// One of several texts.
    Post(String),
    /// Support for somebody's post.
    Vote(PostId),
    /// So many more for a counter.
    Count {
        /// Which of the kind's counters.
        option: u8,
        /// How many.
        by: u32,
    },
}

impl Taken {
    /// An answer that its value says whole.
    #[must_use]
    pub fn value(value: u32) -> Self {
        Taken::Answer { value, text: None }
    }
}

/// A kind does not take what was sent, in words for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);
