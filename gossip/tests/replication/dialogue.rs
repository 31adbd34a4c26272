//! Golden dialogues: who hears what, and what everybody says and does then.
//!
//! Each file in `tests/dialogues` is a list of cases: commands, a line `----`, what they caused, a
//! blank line. They teach the protocol, and they fail when it changes; `UPDATE=1` writes them
//! anew, to be read before they are believed.

use crate::golden;
use crate::script::Script;
use std::fmt::Write;
use std::path::PathBuf;

fn folder() -> PathBuf {
    golden::folder("dialogues")
}

fn check(name: &str) {
    let (folder, mut script, mut replayed) = (folder(), Script::new(), String::new());
    let golden = golden::read(&folder, name);
    for (commands, lines) in golden::cases(&golden) {
        let mut caused = String::new();
        for line in lines {
            caused += &script.run(line);
        }
        let caused = caused.replace("000000000000000", "");
        writeln!(replayed, "{commands}\n----\n{caused}").unwrap();
    }
    golden::check(&folder, name, &golden, &replayed);
}

macro_rules! dialogues {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*

        #[test]
        fn every_dialogue_is_replayed() {
            golden::check_all(&folder(), &[$(stringify!($name)),*]);
        }
    };
}

dialogues! {
    ages_are_asked_for_after_a_restart,
    clock_is_asked_for_after_a_snapshot,
    cut_that_claims_our_own_lane_is_an_alarm,
    dead_origin_is_served_by_another,
    divergence_is_an_alarm_and_a_repair,
    enrolment_makes_receipts_firm,
    equivocation_is_quarantined,
    forgotten_node_is_not_counted,
    former_origin_is_served_from_the_store,
    full_stash_is_pulled,
    gap_is_pulled,
    lanes_are_bounded,
    lost_part_of_a_snapshot_is_asked_for_again,
    lost_push_is_pulled,
    malformed_entry_stops_its_lane,
    malformed_snapshot_is_thrown_away,
    newcomer_takes_a_snapshot,
    others_entries_are_never_relayed_unasked,
    own_lane_with_another_history_is_an_alarm,
    provisional_receipt_is_upgraded_after_a_partition,
    push_and_ack,
    quarantine_outlives_a_restart,
    quarantined_lane_is_kept_out_of_snapshots,
    receipts_wait_for_their_level,
    revived_owner_goes_on_where_it_stopped,
    slow_peer_becomes_a_puller,
    snapshot_is_refused_and_asked_elsewhere,
    snapshot_source_dies,
    stable_entries_are_let_go,
    trimmed_range_takes_a_snapshot,
    unknown_kind_stops_the_event,
    unreadable_lane_is_tried_again_after_a_restart,
    what_somebody_lacks_is_kept_longest,
    word_counts_once_it_is_read,
}
