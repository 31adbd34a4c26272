//! Teams: a player's team is drawn from the player's id, so that every node knows it without asking.

use super::Standing;
use super::script::{Script, TeamScore};
use crate::id::PlayerId;

/// The team of a player, as an index into the show's teams; nothing in a show without teams.
#[must_use]
pub fn team_of(script: &Script, player: PlayerId) -> Option<usize> {
    side_of(script.teams.names.len(), player)
}

/// One of `sides`, drawn from the player's id. Its first byte is the slot, so the lower half is taken.
pub(super) fn side_of(sides: usize, player: PlayerId) -> Option<usize> {
    (sides > 0).then(|| (mix(player.0 as u64) % sides as u64) as usize)
}

/// SplitMix64's finalizer: clients may draw their ids badly.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A team's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamStanding {
    /// Which team.
    pub team: usize,
    /// Its points: the mean of its members' rounded down, or their sum.
    pub points: u64,
    /// How many it has.
    pub players: u64,
    /// Competition rank: 1, 2, 2, 4.
    pub rank: u32,
}

/// All teams by points, equals in the order of the script.
#[must_use]
pub fn team_standings(script: &Script, all: &[Standing]) -> Vec<TeamStanding> {
    let mut sums = vec![(0_u64, 0_u64); script.teams.names.len()];
    for standing in all {
        let Some(team) = team_of(script, standing.player) else { continue };
        sums[team].0 += standing.points;
        sums[team].1 += 1;
    }
    let standing = |(team, (sum, players)): (usize, &(u64, u64))| {
        let points = match script.teams.score {
            TeamScore::Mean => sum / (*players).max(1),
            TeamScore::Sum => *sum,
        };
        TeamStanding { team, points, players: *players, rank: 0 }
    };
    let mut teams: Vec<TeamStanding> = sums.iter().enumerate().map(standing).collect();
    teams.sort_by_key(|team| (std::cmp::Reverse(team.points), team.team));
    let points: Vec<u64> = teams.iter().map(|team| team.points).collect();
    for team in &mut teams {
        team.rank = 1 + points.iter().filter(|other| **other > team.points).count() as u32;
    }
    teams
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engagement::Question;

    #[test]
    fn a_team_has_the_mean_or_the_sum_of_its_members() {
        let question = Question::choice("?", vec!["a".into(), "b".into()], 1);
        let mut script = Script::new("T", vec![question]);
        script.teams.names = vec!["red".into(), "blue".into()];
        let ids: Vec<u128> = (1..40).collect();
        let of = |team| {
            let member = |id: &&u128| team_of(&script, PlayerId(**id)) == Some(team);
            ids.iter().filter(member).copied().collect::<Vec<_>>()
        };
        let (red, blue) = (of(0), of(1));
        let standing =
            |id, points| Standing { player: PlayerId(id), points, correct_ms: 0, rank: 1 };
        let all = [standing(red[0], 10), standing(red[1], 21), standing(blue[0], 20)];
        let mean = team_standings(&script, &all);
        assert_eq!((mean[0].team, mean[0].points, mean[0].rank), (1, 20, 1));
        assert_eq!((mean[1].team, mean[1].points, mean[1].rank), (0, 15, 2));
        script.teams.score = TeamScore::Sum;
        assert_eq!(team_standings(&script, &all)[0].points, 31);
    }
}
