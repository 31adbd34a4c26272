//! What hosts say of players, as folds read it: whoever folds answers must keep these.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use crdt_state::delta::{Advance, Answers, Create, Delta, Join};
use crdt_state::engagement::scoring::Late;
use crdt_state::engagement::{Question, Scoreboard, Script, fold, outcome_alone, standings};
use crdt_state::named::{Award, AwardChange, Change, PlayerChange, PlayerMark};
use crdt_state::{EventState, Origin, Phase, PlayerId, Row, Stage};

const ME: Origin = Origin(1 << 48);

fn take(state: &mut EventState, change: Change) {
    state.take(ME, Delta::Named(change));
}

fn kick(state: &mut EventState, player: u128, out: bool) {
    let player = PlayerId(player);
    let mark = state.named.people.kick(ME, player, out).unwrap();
    take(state, Change::Player(PlayerChange { player, mark }));
}

fn award(state: &mut EventState, id: &str, player: u128, points: i32) {
    let award = Award { id: id.into(), player: PlayerId(player), points };
    take(state, Change::Award(AwardChange { name: "best hat".into(), award }));
}

/// Three players who answered one question at 0, 1 and 2 seconds: two rightly, the last one wrongly.
fn played() -> EventState {
    let mut question = Question::choice("?", vec!["a".into(), "b".into()], 0b01);
    (question.open_ms, question.points) = (10_000, 1_000);
    let script = Script::new("Masks", vec![question]);
    let mut state = EventState::default();
    state.take(ME, Delta::Create(Create { lamport: 1, script }));
    let (to, question, open_ms) = (Stage::new(1, Phase::Open), Some(0), Some(10_000));
    state.take(ME, Delta::Advance(Advance { lamport: 2, to, question, open_ms }));
    for number in 0..3u32 {
        let row = Row { origin: ME, number };
        let join = Join { row, player: PlayerId(number.into()), name: format!("p{number}") };
        state.take(ME, Delta::Joins(vec![join]));
        let rows = vec![(number, number * 1_000, if number == 2 { 0b10 } else { 0b01 })];
        state.take(ME, Delta::Answers(Answers { instance: 1, question: 0, rows_of: ME, rows }));
    }
    state
}

fn points(state: &EventState) -> Vec<(u128, u64, u32)> {
    standings(state, |_| true).iter().map(|s| (s.player.0, s.points, s.rank)).collect()
}

/// Has the kept scoreboard catch up, which must then say what a fold from nothing says.
fn catch_up(board: &mut Scoreboard, state: &EventState) {
    board.update(state, |_| true);
    assert_eq!(board.top(state, usize::MAX), standings(state, |_| true));
}

#[test]
fn a_kept_scoreboard_follows_kicks_and_awards_where_answers_stand_alone_and_where_they_do_not() {
    for streak in [Vec::new(), vec![0, 50]] {
        let mut state = played();
        let mut script = Script::clone(state.script().unwrap());
        script.questions[0].scoring.streak = streak;
        state.take(ME, Delta::Create(Create { lamport: 0, script }));
        let mut board = Scoreboard::default();
        catch_up(&mut board, &state);
        kick(&mut state, 0, true);
        catch_up(&mut board, &state);
        assert_eq!(board.len(), 2);
        award(&mut state, "a", 2, 70);
        award(&mut state, "b", 1, -2_000);
        catch_up(&mut board, &state);
        assert_eq!(board.of(&state, PlayerId(2)).map(|s| (s.points, s.rank)), Some((70, 1)));
        kick(&mut state, 0, false);
        catch_up(&mut board, &state);
        assert_eq!(board.len(), 3);
    }
}

#[test]
fn a_kicked_player_is_passed_over_and_comes_back_whole() {
    let mut state = played();
    let before = (state.tally(1), state.answered(1), state.head_count(), points(&state));
    assert_eq!(before.0, [2, 1]);
    kick(&mut state, 0, true);
    assert_eq!(state.tally(1), [1, 1]);
    assert_eq!((state.answered(1), state.head_count()), (2, 2));
    assert_eq!(points(&state), [(1, 950, 1), (2, 0, 2)]);
    let row = Row { origin: ME, number: 0 };
    assert!(state.held(1, [row]).is_some(), "the answer stays");
    kick(&mut state, 0, false);
    assert_eq!((state.tally(1), state.answered(1), state.head_count(), points(&state)), before);
}

#[test]
fn a_kick_of_somebody_unknown_takes_no_head_away() {
    let mut state = played();
    kick(&mut state, 99, true);
    assert_eq!(state.head_count(), 3);
}

#[test]
fn an_award_counts_once_and_moves_ranks() {
    let mut state = played();
    award(&mut state, "a", 2, 2_000);
    award(&mut state, "a", 2, 2_000);
    assert_eq!(points(&state), [(2, 2_000, 1), (0, 1_000, 2), (1, 950, 3)]);
    award(&mut state, "b", 2, -5_000);
    assert_eq!(points(&state)[2], (2, 0, 3), "nobody falls below nothing");
}

#[test]
fn of_awards_said_at_once_under_one_id_one_counts_whatever_the_order() {
    let said = [(1, 4), (2, 3), (1, 2)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut state = played();
        order.iter().for_each(|at| award(&mut state, "a", said[*at].0, said[*at].1));
        assert_eq!(state.named.awarded().into_iter().collect::<Vec<_>>(), [(PlayerId(1), 4)]);
        award(&mut state, "b", 2, 3);
        assert_eq!(state.named.awarded()[&PlayerId(2)], 3, "another id is another award");
    }
}

#[test]
fn what_is_late_where_that_gives_nothing_has_no_bonus_and_keeps_its_streak() {
    let mut state = played();
    let mut script = Script::clone(state.script().unwrap());
    let scoring = &mut script.questions[0].scoring;
    (scoring.late, scoring.streak) = (Late::Nothing, vec![50]);
    script.questions.push(script.questions[0].clone());
    script.questions.push(script.questions[0].clone());
    state.take(ME, Delta::Create(Create { lamport: 0, script }));
    for (instance, question, elapsed) in [(2, 1, 10_001), (3, 2, 10_000)] {
        let to = Stage::new(instance, Phase::Open);
        let (shown, open_ms) = (Some(question), Some(10_000));
        state.take(
            ME,
            Delta::Advance(Advance { lamport: instance.into(), to, question: shown, open_ms }),
        );
        let rows = vec![(0, elapsed, 0b01)];
        state.take(ME, Delta::Answers(Answers { instance, question, rows_of: ME, rows }));
    }
    let mut points = Vec::new();
    fold(&state, |_| true, |_, outcomes| points.push(outcomes[0].1.points));
    assert_eq!(points, [1_000, 0, 550]);
}

fn grant(state: &mut EventState, player: u128, ms: u32) {
    let mark = PlayerMark::ExtraMs(state.next_lamport(), ms);
    take(state, Change::Player(PlayerChange { player: PlayerId(player), mark }));
}

#[test]
fn an_answer_in_time_that_a_host_granted_is_not_late() {
    for streak in [Vec::new(), vec![0, 50]] {
        let (mut state, is_alone) = (played(), streak.is_empty());
        let mut script = Script::clone(state.script().unwrap());
        (script.questions[0].scoring.late, script.questions[0].scoring.streak) =
            (Late::Nothing, streak);
        state.take(ME, Delta::Create(Create { lamport: 0, script }));
        let rows = vec![(3, 12_000, 0b01), (4, 12_001, 0b01), (5, 12_000, 0b01)];
        for (number, ..) in &rows {
            let row = Row { origin: ME, number: *number };
            let join = Join { row, player: PlayerId((*number).into()), name: format!("p{number}") };
            state.take(ME, Delta::Joins(vec![join]));
        }
        state.take(ME, Delta::Answers(Answers { instance: 1, question: 0, rows_of: ME, rows }));
        let mut board = Scoreboard::default();
        catch_up(&mut board, &state);
        let points = |board: &Scoreboard, state: &EventState| {
            [3, 4, 5].map(|id| board.of(state, PlayerId(id)).unwrap().points)
        };
        assert_eq!(points(&board, &state), [0; 3]);
        grant(&mut state, 3, 2_000);
        grant(&mut state, 4, 2_000);
        catch_up(&mut board, &state);
        assert_eq!(points(&board, &state), [500, 0, 0], "the second came too late all the same");
        assert!(!is_alone || outcome_alone(&state, 1, PlayerId(3)).points == 500);
        award(&mut state, "a", 3, -600);
        catch_up(&mut board, &state);
        assert_eq!(points(&board, &state), [0; 3]);
        award(&mut state, "b", 3, 700);
        // The same player by another row, on another node.
        let other = Origin(2 << 48);
        let join = Join {
            row: Row { origin: other, number: 0 },
            player: PlayerId(3),
            name: "p3".to_owned(),
        };
        state.take(other, Delta::Joins(vec![join]));
        catch_up(&mut board, &state);
        assert_eq!(points(&board, &state), [600, 0, 0]);
    }
}

#[test]
fn a_host_renames_and_gives_time() {
    let mut state = played();
    let player = PlayerId(1);
    let mark = PlayerMark::Name(7, "Ada".into());
    take(&mut state, Change::Player(PlayerChange { player, mark }));
    let mark = PlayerMark::ExtraMs(8, 5_000);
    take(&mut state, Change::Player(PlayerChange { player, mark }));
    assert_eq!(state.shown_name(player).as_deref(), Some("Ada"));
    assert_eq!(state.shown_name(PlayerId(2)).as_deref(), Some("p2"));
    assert_eq!(state.shown_name(PlayerId(9)), None);
    assert_eq!(state.named.people.extra_ms(player), 5_000);
    assert_eq!(state.named.people.extras().collect::<Vec<_>>(), [(player, 5_000)]);
    assert_eq!(state.next_lamport(), 9);
}
