//! The JSON that players send. Unknown fields are ignored, so that newer pages can talk to older nodes.

use crate::service::view::Refusal;
use crdt_state::PlayerId;
use crdt_state::engagement::{Given, PostId};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// What is published to `connect/<slot>`.
#[derive(Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Connect {
    /// Somebody joins whom a platform vouches for.
    Vouched {
        /// Of the event.
        pin: String,
        /// The platform's token.
        token: String,
        /// As typed; the token's own name goes before it.
        #[schemars(default)]
        name: String,
    },
    /// Somebody goes; what a will says, which the broker publishes. Before a broker it says nothing new.
    Gone {
        /// Proves the join.
        token: String,
        /// The connection that is over, by the name that it was given.
        gone: String,
    },
    /// Somebody who has joined before is back.
    Back {
        /// Proves the join.
        token: String,
        /// Any name for the connection to the broker on which it is said, another one for each.
        #[schemars(default)]
        here: Option<String>,
    },
    /// Somebody joins.
    Join {
        /// Of the event.
        pin: String,
        /// Who; made up by the client. Left out by a client whose connection has proven who it is.
        #[schemars(default)]
        player: Option<PlayerId>,
        /// As typed.
        #[schemars(default)]
        name: String,
    },
}

/// All fields that any of these has. What is wrong with one of them is said of that one, whichever it was to be.
#[derive(Deserialize)]
struct Fields {
    pin: Option<String>,
    player: Option<PlayerId>,
    #[serde(default)]
    name: String,
    token: Option<String>,
    here: Option<String>,
    gone: Option<String>,
}

impl<'de> Deserialize<'de> for Connect {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Fields { pin, player, name, token, here, gone } = Fields::deserialize(from)?;
        match (pin, token, gone) {
            (Some(pin), Some(token), _) => Ok(Connect::Vouched { pin, token, name }),
            (Some(pin), None, _) => Ok(Connect::Join { pin, player, name }),
            (None, Some(token), Some(gone)) => Ok(Connect::Gone { token, gone }),
            (None, Some(token), None) => Ok(Connect::Back { token, here }),
            (None, None, _) => Err(D::Error::custom("it has neither `pin` nor `token`")),
        }
    }
}

/// What is published to `answer/<slot>`.
#[derive(Debug, Deserialize, PartialEq, JsonSchema)]
pub(crate) struct Answer {
    /// Proves the join.
    pub token: String,
    /// Which run, as the live state shows it.
    pub instance: u32,
    /// A single option.
    #[serde(default)]
    pub choice: Option<u8>,
    /// Any number of options.
    #[serde(default)]
    pub choices: Vec<u8>,
    /// A text, for what is typed.
    #[serde(default)]
    pub text: Option<String>,
    /// A number, for an estimate.
    #[serde(default)]
    pub number: Option<f64>,
    /// What is staked on a prediction.
    #[serde(default)]
    pub stake: Option<u32>,
    /// How many taps.
    #[serde(default)]
    pub count: Option<u32>,
    /// The id of a post that is supported, in hexadecimal digits.
    #[serde(default)]
    pub post: Option<String>,
    /// Where a stream's time opens the question: for how long after the opening the player's was not there
    /// yet, in milliseconds. No more of it counts than the question's `window_ms`.
    #[serde(default)]
    pub shift_ms: Option<u32>,
}

impl Answer {
    /// All that was sent, for the kind to judge, over a line that takes so long.
    pub fn given(self, credit_ms: u32) -> Given {
        let Answer { mut choices, choice, text, number, stake, count, post, shift_ms, .. } = self;
        if let Some(choice) = choice.filter(|choice| !choices.contains(choice)) {
            choices.push(choice);
        }
        let post = post.map(|id| PostId::from_str_radix(&id, 16).unwrap_or(0));
        Given { choices, text, number, stake, count, post, shift_ms, credit_ms, abuse: None }
    }
}

/// What is published to `react/<slot>`.
#[derive(Debug, Deserialize, PartialEq, Eq, JsonSchema)]
pub(crate) struct React {
    /// Proves the join.
    pub token: String,
    /// How.
    pub kind: String,
}

/// Reads a payload.
pub(super) fn read<'a, T: Deserialize<'a>>(
    payload: &'a [u8],
    expected: &str,
) -> Result<T, Refusal> {
    serde_json::from_slice(payload).map_err(|error| {
        Refusal::new("payload_malformed", format!("the payload cannot be read: {error}"))
            .hint(format!("send {expected}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_coming_in_are_read() {
        let join = br#"{"pin":"1","player":"000000000000000000000000000000ff","name":"A","x":1}"#;
        let expected =
            Connect::Join { pin: "1".into(), player: Some(PlayerId(255)), name: "A".into() };
        assert_eq!(read::<Connect>(join, ""), Ok(expected));
        let vouched = read::<Connect>(br#"{"pin":"1","token":"ey"}"#, "");
        let expected =
            Connect::Vouched { pin: "1".into(), token: "ey".into(), name: String::new() };
        assert_eq!(vouched, Ok(expected));
        let back = read::<Connect>(br#"{"token":"slp_x"}"#, "");
        assert_eq!(back, Ok(Connect::Back { token: "slp_x".into(), here: None }));
        let here = read::<Connect>(br#"{"token":"slp_x","here":"c1"}"#, "");
        let expected = Connect::Back { token: "slp_x".into(), here: Some("c1".into()) };
        assert_eq!(here, Ok(expected));
        let gone = read::<Connect>(br#"{"token":"slp_x","gone":"c1"}"#, "");
        assert_eq!(gone, Ok(Connect::Gone { token: "slp_x".into(), gone: "c1".into() }));
    }

    #[test]
    fn what_is_wrong_with_a_field_is_said_of_it() {
        let said = |payload: &[u8]| read::<Connect>(payload, "").unwrap_err().message;
        assert!(said(br#"{"pin":194916}"#).contains("integer `194916`, expected a string"));
        let player = said(br#"{"pin":"194916","player":"ada"}"#);
        assert!(player.contains("\"ada\" is not a player id"), "{player}");
        assert!(said(b"{}").contains("neither `pin` nor `token`"));
    }

    /// The table of the document, by what its rows are about: what is published, without token and instance.
    fn documented() -> Vec<(String, String)> {
        let document = include_str!("../../docs/mqtt.md");
        let table = document.split("| kind or form |").nth(1).expect("there is one");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let codes = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let row = |line: &str| {
            let mut cells = line.split('|').skip(1).map(codes);
            let (kinds, given): (Vec<_>, Vec<_>) = (cells.next()?, cells.next()?);
            let given = given.into_iter().filter(|code: &String| code.starts_with('{'));
            let given: Vec<_> = given.collect();
            Some(kinds.into_iter().flat_map(move |kind: String| {
                given.clone().into_iter().map(move |given| (kind.clone(), given))
            }))
        };
        rows.filter_map(row).flatten().collect()
    }

    #[test]
    fn every_kind_is_answered_as_the_document_says() {
        let show = crate::show::parse(include_str!("../../shows/kinds.json")).expect("a show");
        let documented = documented();
        for question in &show.questions {
            let view = serde_json::to_value(question.task.view(false)).expect("it is JSON");
            let word = view["form"].as_str().unwrap_or_else(|| question.task.name());
            let of_it: Vec<_> = documented.iter().filter(|(kind, _)| kind == word).collect();
            assert!(!of_it.is_empty(), "nothing is said of {word}");
            for (_, given) in of_it {
                let payload = given.replacen('{', r#"{"token":"t","instance":1,"#, 1);
                let answer: Answer = serde_json::from_str(&payload).expect("it is an answer");
                let is_choice = ["choice", "poll", "elimination"].contains(&word);
                if is_choice && answer.choices.len() > 1 && view["multiple"] != true {
                    continue;
                }
                let taken = question.task.take(&answer.given(0));
                assert!(taken.is_ok(), "{word}: {given}: {taken:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_says_what_would() {
        let refusal = read::<Connect>(b"{", "a join").unwrap_err();
        assert_eq!(refusal.code, "payload_malformed");
        assert_eq!(refusal.hint.as_deref(), Some("send a join"));
    }
}
