//! The storms that there are, in both fidelities: each comes on top of the weather of its run, and of one another.

use crate::schedule::{Fault, Schedule, Weather};

/// Storms by the two nodes between which they are.
#[derive(Debug, Default)]
pub(crate) struct Storms(Vec<((u8, u8), Weather)>);

impl Storms {
    /// All storms of a schedule, as if all were at once.
    pub(crate) fn of(schedule: &Schedule) -> Self {
        let storms = schedule.faults.iter().filter_map(|planned| match planned.fault {
            Fault::Storm { one, other, weather } => Some((link(one, other), weather)),
            _ => None,
        });
        Self(storms.collect())
    }

    /// One begins between two nodes, or is over.
    pub(crate) fn set(&mut self, (one, other): (u8, u8), weather: Weather, blows: bool) {
        let storm = (link(one, other), weather);
        if blows {
            self.0.push(storm);
        } else if let Some(place) = self.0.iter().position(|it| *it == storm) {
            self.0.swap_remove(place);
        }
    }

    /// The weather between two nodes, where it is this one without any storm.
    pub(crate) fn over(&self, usual: Weather, one: u8, other: u8) -> Weather {
        let link = link(one, other);
        let here = self.0.iter().filter(|(there, _)| *there == link);
        here.fold(usual, |weather, (_, storm)| storm.over(weather))
    }

    /// The weather wherever there is a storm, and the usual one.
    pub(crate) fn weathers(&self, usual: Weather) -> impl Iterator<Item = Weather> {
        let stormy = self.0.iter().map(move |((one, other), _)| self.over(usual, *one, *other));
        stormy.chain([usual])
    }
}

fn link(one: u8, other: u8) -> (u8, u8) {
    (one.min(other), one.max(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSSY: Weather = Weather { loss: 0.2, mtu: 1_280, ..Weather::CALM };
    const SLOW: Weather = Weather { loss: 0.1, delay_us: 90_000, ..Weather::CALM };

    #[test]
    fn a_storm_makes_nothing_better_and_ends_alone() {
        let usual =
            Weather { corruption: 0.01, bandwidth: 400_000, delay_us: 700, ..Weather::CALM };
        let mut storms = Storms::default();
        storms.set((2, 1), LOSSY, true);
        storms.set((1, 2), SLOW, true);
        let both = Weather { loss: 0.2, mtu: 1_280, delay_us: 90_000, ..usual };
        assert_eq!((storms.over(usual, 1, 2), storms.over(usual, 2, 1)), (both, both));
        assert_eq!(storms.over(usual, 1, 3), usual, "another link");
        assert!(storms.weathers(usual).all(|weather| weather == both || weather == usual));
        storms.set((1, 2), LOSSY, false);
        assert_eq!(storms.over(usual, 1, 2), Weather { loss: 0.1, delay_us: 90_000, ..usual });
        storms.set((2, 1), SLOW, false);
        assert_eq!(storms.over(usual, 1, 2), usual);
    }

    #[test]
    fn the_narrower_of_two_links_is_the_worse_and_no_bound_is_the_best() {
        let of = |bandwidth| Weather { bandwidth, ..Weather::CALM };
        for (one, other, both) in [(0, 0, 0), (0, 7, 7), (7, 0, 7), (9, 7, 7)] {
            assert_eq!(of(one).over(of(other)), of(both));
        }
    }
}
