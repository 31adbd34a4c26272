//! The JSON Schemas of everything that players and nodes send each other, made from the very types that
//! are read and written, so that they cannot be wrong. They are committed under `node/docs/schemas`; a
//! test holds the files to the types.

use crate::hub::payload::{Answer, Connect, React};
use crate::service::view::{CommandReply, CommandRequest, InboxMessage, LiveView, ReceiptView};
use schemars::{JsonSchema, schema_for};

/// A message of the protocol.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// What it is called.
    pub name: &'static str,
    /// Where it is met.
    pub place: &'static str,
    schema: fn() -> serde_json::Value,
}

/// Version of the protocol that they describe; it grows when a message changes so that former clients
/// cannot read or send it any more.
pub const VERSION: u32 = 1;

/// All of them.
pub const MESSAGES: [Message; 8] = [
    message::<Connect>("connect", "published to connect/<slot>"),
    message::<Answer>("answer", "published to answer/<slot>"),
    message::<React>("react", "published to react/<slot>"),
    message::<CommandRequest>("command", "published to command/<event>"),
    message::<LiveView>("live", "received from live/<pin>"),
    message::<InboxMessage>("inbox", "received from inbox/<player>"),
    message::<ReceiptView>("receipt", "the user property of a PUBACK or PUBREC"),
    message::<CommandReply>("commanded", "the same after a command"),
];

const fn message<T: JsonSchema>(name: &'static str, place: &'static str) -> Message {
    Message { name, place, schema: || schema_for!(T).to_value() }
}

impl Message {
    /// The message of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Message> {
        MESSAGES.into_iter().find(|message| message.name == name)
    }

    /// Its schema as JSON for people.
    ///
    /// # Panics
    /// Never: a schema's keys are texts.
    #[must_use]
    pub fn text(&self) -> String {
        let mut schema = (self.schema)();
        schema["title"] = format!("Starling {} {}", self.name, VERSION).into();
        schema["$comment"] = self.place.into();
        let text = serde_json::to_string_pretty(&schema).expect("a schema has text keys only");
        text + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_committed_schemas_are_those_of_the_types() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas");
        for message in MESSAGES {
            let path = folder.join(format!("{}.json", message.name));
            let committed = fs::read_to_string(&path).unwrap_or_default();
            let name = message.name;
            assert!(
                committed == message.text(),
                "{name}: run `starling schema --out node/docs/schemas`"
            );
        }
        let files = fs::read_dir(folder).unwrap().count();
        assert_eq!(files, MESSAGES.len(), "and no others");
    }

    #[test]
    fn a_schema_says_what_must_be_there() {
        let schema: Value =
            serde_json::from_str(&Message::named("answer").unwrap().text()).unwrap();
        assert_eq!(schema["required"], json!(["token", "instance"]));
        assert_eq!(schema["title"], "Starling answer 1");
        assert!(Message::named("nothing").is_none());
    }
}
