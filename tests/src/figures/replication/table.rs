//! The figure as people read it.

use super::super::timings::hundredths;
use super::redis::Redis;
use super::{Measured, NODES, Timings, machine};

impl Measured {
    pub(super) fn table(&self) -> String {
        let lines: Vec<String> = self
            .lines()
            .into_iter()
            .map(|[what, ours, peers]| format!("| {what} | {ours} | {peers} |"))
            .collect();
        let (players, questions) = (millions(self.size.players as f64), self.size.questions);
        format!(
            "| replication | measured | beside |\n|---|---|---|\n{}\n\n\
             {players} players, {questions} questions, {NODES} whole nodes in one process over QUIC on \
             loopback; answers are handed to the\nengines by the batch. Times of the state alone are \
             those of one core, memory is what the process holds (RSS).\n\
             Two systems that are in no package registry, as they were measured elsewhere on a machine like this: \
             Corrosion converges 12,500 rows/s\nand shows a row elsewhere after 8.4 / 19 ms when it is idle, \
             delta_crdt_ex 1,843 keys/s with 10,000 keys, and with 50,000 it does not finish.\n{}, {} build.\n",
            lines.join("\n"),
            machine(),
            if cfg!(debug_assertions) { "debug" } else { "release" },
        )
    }

    fn lines(&self) -> Vec<[String; 3]> {
        let mut lines = self.state_lines();
        lines.extend(self.cluster_lines());
        lines
    }

    fn state_lines(&self) -> Vec<[String; 3]> {
        let state = &self.state;
        let times = |ratio: f64| format!("{} times", hundredths(ratio));
        let apply = state.apply_per_s / state.crdts_apply_per_s;
        let join = state.crdts_join_ms / state.join_ms;
        let redis = self.redis.map_or(String::new(), |redis| {
            let Redis { counters_per_s, sorted_set_per_s } = redis;
            let (counters, sorted) = (millions(counters_per_s), millions(sorted_set_per_s));
            format!("; Redis, by the thousand: counters {counters}/s, a sorted set {sorted}/s")
        });
        vec![
            [
                "an answer decoded, checked, applied and folded".to_owned(),
                format!("{}/s", millions(state.apply_per_s)),
                format!(
                    "{} `crdts::Map` of counters ({}/s, applied only); a hash map alone {}/s{redis}",
                    times(apply),
                    millions(state.crdts_apply_per_s),
                    millions(state.hashbrown_per_s)
                ),
            ],
            [
                "a player / an answer in memory".to_owned(),
                format!(
                    "{} B / {} B",
                    hundredths(state.bytes_per_player),
                    hundredths(state.bytes_per_answer)
                ),
                format!(
                    "and {} B for id, name and the index of names",
                    hundredths(state.named_bytes_per_player)
                ),
            ],
            [
                "two states join".to_owned(),
                format!("{} ms", state.join_ms),
                format!("{} faster than `crdts::Map` ({} ms)", times(join), state.crdts_join_ms),
            ],
            [
                "all scores from nothing, on all cores / all ranks after a late answer".to_owned(),
                format!("{} ms / {} ms", hundredths(state.fold_ms), hundredths(state.rank_ms)),
                String::new(),
            ],
            [
                "the digest, the first time / again".to_owned(),
                format!("{} ms / {} ms", state.digest_ms, state.digest_again_ms),
                String::new(),
            ],
            [
                "a snapshot is written / read".to_owned(),
                format!("{} ms / {} ms", state.snapshot_ms, state.restore_ms),
                format!(
                    "{} B an answer, players included",
                    hundredths(state.snapshot_bytes_per_answer)
                ),
            ],
        ]
    }

    fn cluster_lines(&self) -> Vec<[String; 3]> {
        let burst = self.burst();
        let pair = |of: &Timings| format!("{} / {} ms", of.quantile_ms(0.5), of.quantile_ms(0.99));
        let both = |of: [&Timings; 2]| format!("{}; {}", pair(of[0]), pair(of[1]));
        let rates = format!("at {}/s; at {}/s", self.size.slow, self.size.fast);
        let lossy = self.lossy.map_or(0.0, |burst| burst.copies());
        let line = |what: String, ours: String| [what, ours, String::new()];
        vec![
            [
                "answers converged on all nodes, in a burst".to_owned(),
                format!("{}/s", millions(burst.per_second())),
                format!(
                    "{} of raw quinn streams, which carry the same batches ({}/s)",
                    hundredths(burst.per_second() / self.raw_per_s),
                    millions(self.raw_per_s)
                ),
            ],
            [
                format!("an answer is visible at other nodes, p50 / p99 {rates}"),
                both([&self.slow[0], &self.fast[0]]),
                String::new(),
            ],
            line(
                format!("receipt for one more node, p50 / p99 {rates}"),
                both([&self.slow[1], &self.fast[1]]),
            ),
            line(
                format!("replication's share of one core at {}/s", self.size.fast),
                format!("{} %", hundredths(self.replication_share() * 100.0)),
            ),
            line(
                "UDP payload for an answer and a peer, in a burst".to_owned(),
                format!("{} B", hundredths(burst.wire_bytes_per_answer())),
            ),
            line(
                "UDP payload received over batches encoded, without loss / with 5 %".to_owned(),
                format!("{} / {}", hundredths(burst.copies()), hundredths(lossy)),
            ),
            line(
                "a newcomer serves; receipts meanwhile, p50 / p99".to_owned(),
                format!(
                    "{} s; {}",
                    hundredths(self.joiner.as_secs_f64()),
                    pair(&self.joiner_receipts)
                ),
            ),
            line(
                "a started node is seen by all / a killed one is known to be dead".to_owned(),
                format!(
                    "{} s / {} s",
                    hundredths(self.seen.as_secs_f64()),
                    hundredths(self.death.as_secs_f64())
                ),
            ),
            line(
                format!(
                    "memory after {} incarnations came and went, over that before",
                    self.size.incarnations
                ),
                hundredths(self.churn).to_string(),
            ),
        ]
    }
}

fn millions(of: f64) -> String {
    match of {
        _ if of >= 1e6 => format!("{} million", hundredths(of / 1e6)),
        _ => format!("{}", of.round()),
    }
}
