//! A schedule in words.

use std::fmt;
use std::time::Duration;

use node::config::Ack;

use super::{Blow, CutShape, DiskFate, Fault, Form, Planned, Schedule, Victim, Weather};

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, players, questions, weather, habits, .. } = self;
        write!(f, "drawn: {players} players, {nodes} nodes, {} questions", questions.len())?;
        for (form, word) in [(Form::Typed, "typed"), (Form::Prediction, "of a prediction")] {
            match questions.iter().filter(|question| question.form == form).count() {
                0 => {}
                count => write!(f, ", {count} {word}")?,
            }
        }
        match self.ack {
            Ack::Local => write!(f, "; a node promises alone")?,
            Ack::Peer => {}
            Ack::Majority => write!(f, "; a majority promises")?,
        }
        writeln!(f)?;
        for planned in &self.faults {
            writeln!(f, "  {planned}")?;
        }
        writeln!(f, "  between nodes: {weather}")?;
        let share = |share: f64| format!("{:.0} %", share * 100.0);
        writeln!(
            f,
            "  players: {} roam, {} answer twice, {} lie, {} flood{}; hosts: {}{}{}{}",
            share(habits.roaming),
            share(habits.twice),
            share(habits.lying),
            share(habits.flooding),
            if habits.flocking { ", all go where the others go" } else { "" },
            habits.hosts,
            if habits.hasty { ", hasty" } else { "" },
            if habits.ruling { ", ruling" } else { "" },
            habits
                .vanishes
                .map_or(String::new(), |at| format!(", the first is gone in question {at}")),
        )?;
        if let Some(ms) = self.let_go_after_ms {
            writeln!(f, "  nodes let go of what nobody wants there after {ms} ms")?;
        }
        if self.skews_ms.iter().all(|ms| *ms == 0) {
            return write!(f, "  wall clocks are right");
        }
        let skews = self.skews_ms.iter().map(|ms| format!("{:+.0} s", *ms as f64 / 1_000.0));
        write!(f, "  wall clocks off by {}", skews.collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delay_us, jitter_us, loss, duplication, reordering, corruption, .. } = self;
        let percent = |share: &f64| format!("{:.1} %", share * 100.0);
        write!(
            f,
            "delay {:?}, jitter {:?}, loss {}, copies {}, overtaking {}, damage {}",
            Duration::from_micros(*delay_us),
            Duration::from_micros(*jitter_us),
            percent(loss),
            percent(duplication),
            percent(reordering),
            percent(corruption)
        )?;
        if self.mtu < 1_500 {
            write!(f, ", MTU {}", self.mtu)?;
        }
        if self.bandwidth > 0 {
            write!(f, ", {} KiB/s", self.bandwidth >> 10)?;
        }
        Ok(())
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (after, lasts) =
            (Duration::from_millis(self.after_ms), Duration::from_millis(self.lasts_ms));
        let Self { instance, fault, .. } = self;
        write!(f, "{fault}, {after:?} into question {instance}")?;
        match fault {
            Fault::Join { .. } | Fault::Leave { .. } | Fault::Upgrade { .. } => Ok(()),
            _ => write!(f, ", for {lasts:?}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash { victims, how, disk } => {
                let who: Vec<String> = victims.iter().map(ToString::to_string).collect();
                let how = how.end();
                let disk = match disk {
                    DiskFate::Same => "",
                    DiskFate::Lost => ", its disk lost",
                    DiskFate::Stale => ", its disk some seconds old",
                };
                write!(f, "crash: {} {how}{disk}", who.join(" and "))
            }
            Self::Pause { node } => write!(f, "pause: node {node}"),
            Self::Cut { shape } => write!(f, "cut: {shape}"),
            Self::Storm { one, other, weather } => {
                write!(f, "storm between nodes {one} and {other}: {weather}")
            }
            Self::Clock { node, jump_ms } => {
                write!(f, "clock: node {node} jumps by {jump_ms} ms")
            }
            Self::Drift { node, ppm } => write!(f, "clock: node {node} drifts by {ppm} ppm"),
            Self::Disk { node, trouble } => write!(f, "disk of node {node}: {trouble:?}"),
            Self::Join { node } => write!(f, "node {node} joins"),
            Self::Leave { node } => write!(f, "node {node} leaves for good"),
            Self::Upgrade { every_ms, mixes } => {
                let how = if *mixes { "" } else { " that does not speak the older version" };
                write!(f, "upgrade: a node every {every_ms} ms to a program{how}")
            }
        }
    }
}

impl Blow {
    /// How its node goes down, in words.
    pub(crate) fn end(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::PowerLost => "without power",
        }
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(number) => write!(f, "node {number}"),
            Self::HostsNode => f.write_str("the host's node"),
        }
    }
}

impl fmt::Display for CutShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone(node) => write!(f, "node {node} from the others"),
            Self::Side(nodes) => write!(f, "nodes {nodes:?} from the others"),
            Self::OneWay(from, to) => write!(f, "from node {from} to node {to}"),
            Self::Pair(one, other) => write!(f, "nodes {one} and {other} from each other"),
            Self::Flapping { node, period_ms } => {
                write!(f, "node {node} from the others, on and off every {period_ms} ms")
            }
        }
    }
}
