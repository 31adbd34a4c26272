//! Schedules in files: bare ones, and those that a sweep kept because they failed.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::schedule::Schedule;
use crate::verdict::Fidelity;

/// A schedule that failed, with what is needed to run it again and to know it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// In which fidelity it failed; either may be tried if nothing is said.
    pub fidelity: Option<Fidelity>,
    /// The checker that spoke, if it has failed.
    pub rule: Option<String>,
    /// What it said.
    pub what: Option<String>,
    /// The schedule.
    pub schedule: Schedule,
}

impl Kept {
    /// A schedule that failed.
    pub fn failed(schedule: Schedule, fidelity: Fidelity, failure: &Failure) -> Self {
        let (rule, what) = (Some(failure.rule.clone()), Some(failure.what.clone()));
        Self { fidelity: Some(fidelity), rule, what, schedule }
    }

    /// Writes it for people and programs.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain values become JSON")
    }

    /// Reads either kind of file.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_str(text).map_err(|why| why.to_string())?;
        if value.get("schedule").is_none() {
            let schedule = Schedule::from_json(text)?;
            return Ok(Self { fidelity: None, rule: None, what: None, schedule });
        }
        let kept: Self = serde_json::from_value(value).map_err(|why| why.to_string())?;
        // Read as any other, so that it is checked as any other.
        let schedule = Schedule::from_json(&kept.schedule.to_json())?;
        Ok(Self { schedule, ..kept })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|why| why.to_string())?;
        Self::from_json(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_and_kept_schedules_are_read() {
        let schedule = Schedule::classic(3);
        let bare = Kept::from_json(&schedule.to_json()).unwrap();
        assert_eq!((bare.fidelity, &bare.schedule), (None, &schedule));
        let failure = Failure { rule: "ranks".into(), what: "rank 1".into(), violations: 2 };
        let kept = Kept::failed(schedule, Fidelity::Message, &failure);
        assert_eq!(Kept::from_json(&kept.to_json()), Ok(kept));
        assert!(Kept::from_json("{\"schedule\": {}}").unwrap_err().contains("missing field"));
    }
}
