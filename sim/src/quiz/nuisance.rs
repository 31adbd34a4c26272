//! Players who are a nuisance: they answer again, lie, and flood. Who does what is drawn as in message fidelity.

use std::io;
use std::time::Duration;

use node::config::RateConfig;
use tokio::time::{Instant, timeout};

use super::mqtt::{Client, Packet, Version};
use crate::cluster::{MQTT_PORT, address};
use crate::machine::Life;
use crate::mix::Draw;
use crate::schedule::Habits;

/// A choice that is no option of any question.
pub(super) const NO_OPTION: u8 = 15;
/// How long somebody waits for what another node says to an answer.
const ELSEWHERE_MAX: Duration = Duration::from_secs(2);

/// What somebody does beside answering.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habit {
    pub(super) repeats: bool,
    pub(super) lies: bool,
    pub(super) floods: bool,
}

/// Something that is said beside the player's own answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extra {
    pub(super) due: Instant,
    pub(super) instance: u32,
    pub(super) choice: u8,
    /// To another node, over a connection of its own.
    pub(super) elsewhere: bool,
}

/// What is asked: the run, what the player has chosen, and how many options there are.
pub(super) type Asked = (u32, u8, u8);

/// The numbers of the dice.
mod die {
    pub(super) const AGAIN: u64 = 10;
    pub(super) const HABITS: u64 = 20;
    pub(super) const EARLY: u64 = AGAIN + 20;
    pub(super) const NOTHING: u64 = AGAIN + 21;
    pub(super) const OTHER: u64 = AGAIN + 22;
    pub(super) const ELSEWHERE: u64 = AGAIN + 23;
}

impl Habit {
    pub(super) fn draw(dice: Draw, habits: Habits) -> Self {
        let share = |die, share: f64| dice.unit(die::HABITS + die) < share;
        Self {
            repeats: share(1, habits.twice),
            lies: share(2, habits.lying),
            floods: share(3, habits.flooding),
        }
    }

    /// How often one thing is sent: by who floods, more often than a node takes from one player at once.
    pub(super) fn times(self) -> u32 {
        let most = RateConfig::default().player_publishes();
        if self.floods { 1 + most.map_or(0, |rate| rate.burst.get()) } else { 1 }
    }

    /// All that is said of a question beside the answer that is given after `thinks`.
    pub(super) fn extras(self, dice: Draw, asked: Asked, thinks: Duration) -> Vec<Extra> {
        let (now, thinks_ms) = (Instant::now(), thinks.as_millis() as u64);
        let (instance, choice, options) = asked;
        let mut extras = Vec::new();
        let mut say = |after_ms, instance, choice, elsewhere| {
            let due = now + Duration::from_millis(after_ms);
            extras.push(Extra { due, instance, choice, elsewhere });
        };
        if self.repeats {
            say(thinks_ms + dice.up_to(die::AGAIN, 1_500), instance, choice, false);
        }
        if self.lies {
            let other = (choice + 1) % options;
            say(dice.up_to(die::EARLY, thinks_ms), instance + 1, choice, false);
            say(dice.up_to(die::NOTHING, thinks_ms), instance, NO_OPTION, false);
            say(thinks_ms + dice.up_to(die::OTHER, 800), instance, other, false);
            let about = thinks_ms + dice.up_to(die::ELSEWHERE, 60);
            say(about.saturating_sub(30), instance, other, true);
        }
        extras
    }
}

/// Publishes something at another node and waits for its word; nobody else does.
pub(super) async fn publish_elsewhere(
    life: Life,
    node: u8,
    name: String,
    (topic, payload): (String, String),
) -> io::Result<()> {
    let publish = async {
        let stream = life.connect(address(node, MQTT_PORT)).await?;
        let mut client = Client::connect(stream, Version::V5, &name).await?;
        client.publish(&topic, &payload).await?;
        while !matches!(client.read().await?, Packet::Puback { .. } | Packet::Disconnect) {}
        client.disconnect().await
    };
    timeout(ELSEWHERE_MAX, publish).await?
}
