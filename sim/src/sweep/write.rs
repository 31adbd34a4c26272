//! A sweep for programs: JSON for one's own, JUnit's XML for those that show test results.

use serde_json::{Value, json};

use super::{End, Group, Swept};
use crate::coverage::{Covered, kind_name};

impl Swept {
    /// The sweep as JSON; `reproduce` gives the command that runs a seed again.
    pub fn to_json(&self, reproduce: impl Fn(u64) -> String) -> Value {
        let group = |group: &Group<'_>| {
            json!({
                "rule": group.signature.rule,
                "signature": group.signature.to_string(),
                "count": group.seeds.len(),
                "seeds": group.seeds,
                "what": group.first.what,
                "reproduce": group.seeds.first().map(|seed| reproduce(*seed)),
            })
        };
        let mark = |covered: Covered| {
            let Covered { mark, times, runs } = covered;
            let kind = kind_name(mark.kind());
            json!({ "mark": format!("{mark:?}"), "kind": kind, "times": times, "runs": runs })
        };
        let differing = self.differing().map(|end| {
            let difference = end.difference.as_ref().map(ToString::to_string);
            json!({ "seed": end.seed, "difference": difference })
        });
        let failed = self.failed().count();
        json!({
            "seeds": self.ends.len(),
            "passed": self.ends.len() - failed,
            "failed": failed,
            "traces": self.traces(),
            "laws_tried": self.laws_tried(),
            "took_s": self.took.as_secs_f64(),
            "virtual_s": self.virtual_time().as_secs_f64(),
            "seeds_per_s": self.seeds_per_s(),
            "virtual_s_per_s": self.virtual_s_per_s(),
            "checked": self.ends.values().filter(|end| end.checked).count(),
            "differing": differing.collect::<Vec<_>>(),
            "failures": self.groups().iter().map(group).collect::<Vec<_>>(),
            "marks": self.coverage.marks().map(mark).collect::<Vec<_>>(),
        })
    }

    /// The sweep in JUnit's format: a test case for each seed.
    pub fn to_junit(&self, suite: &str, reproduce: impl Fn(u64) -> String) -> String {
        let bad = self.ends.values().filter(|end| end.is_bad()).count();
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let (suite, count, took) = (escaped(suite), self.ends.len(), self.took.as_secs_f64());
        xml += &format!(
            "<testsuites><testsuite name=\"{suite}\" tests=\"{count}\" failures=\"{bad}\" \
             errors=\"0\" skipped=\"0\" time=\"{took:.3}\">\n"
        );
        for end in self.ends.values() {
            let (seed, time) = (end.seed, end.real_time.as_secs_f64());
            xml +=
                &format!("<testcase classname=\"{suite}\" name=\"seed {seed}\" time=\"{time:.3}\"");
            xml += &match end.complaint() {
                None => "/>\n".to_owned(),
                Some((kind, what)) => {
                    let text = escaped(&format!("{what}\n{}", reproduce(seed)));
                    let (kind, what) = (escaped(&kind), escaped(&what));
                    format!(
                        "><failure type=\"{kind}\" message=\"{what}\">{text}</failure></testcase>\n"
                    )
                }
            };
        }
        xml + "</testsuite></testsuites>\n"
    }
}

impl End {
    fn is_bad(&self) -> bool {
        self.failure.is_some() || self.difference.is_some()
    }

    /// What a list of test results says of it.
    fn complaint(&self) -> Option<(String, String)> {
        let failure = self.failure.as_ref().map(|failed| (failed.rule.clone(), failed.to_string()));
        let differs = || {
            let difference = self.difference.as_ref()?;
            Some(("determinism".to_owned(), difference.to_string()))
        };
        failure.or_else(differs)
    }
}

/// Text as XML takes it, without the control characters that it does not.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::coverage::Coverage;
    use crate::failure::Failure;

    fn end(seed: u64, failure: Option<Failure>) -> (u64, End) {
        let (virtual_time, real_time) = (Duration::from_secs(30), Duration::from_millis(200));
        let end = End {
            seed,
            trace_hash: Some(seed),
            virtual_time,
            real_time,
            failure,
            laws_tried: 10,
            checked: false,
            difference: None,
        };
        (seed, end)
    }

    fn swept() -> Swept {
        let failure =
            |what: &str| Some(Failure { rule: "ranks".into(), what: what.into(), violations: 1 });
        let ends = [
            end(1, None),
            end(2, failure("rank 1 <not> \"2\" & 3")),
            end(3, failure("rank 7 <not> \"5\" & 4")),
            end(4, failure("another\u{7} thing")),
        ];
        let coverage = Coverage::default();
        Swept { ends: ends.into_iter().collect(), coverage, took: Duration::from_secs(2) }
    }

    #[test]
    fn failures_of_one_kind_are_one_entry() {
        let json = swept().to_json(|seed| format!("run --seed {seed}"));
        assert_eq!((json["passed"].as_u64(), json["failed"].as_u64()), (Some(1), Some(3)));
        assert_eq!(json["seeds_per_s"].as_f64(), Some(2.0));
        assert_eq!(json["virtual_s_per_s"].as_f64(), Some(60.0));
        let failures = json["failures"].as_array().unwrap();
        assert_eq!(failures.len(), 2);
        assert_eq!(failures[0]["seeds"], json!([2, 3]));
        assert_eq!(failures[0]["reproduce"], "run --seed 2");
    }

    #[test]
    fn junit_is_well_formed_whatever_was_said() {
        let xml = swept().to_junit("a & b", |seed| format!("run --seed {seed}"));
        assert!(xml.contains("<testsuite name=\"a &amp; b\" tests=\"4\" failures=\"3\""), "{xml}");
        assert!(xml.contains("rank 1 &lt;not&gt; &quot;2&quot; &amp; 3"), "{xml}");
        assert!(xml.contains("another  thing") && !xml.contains('\u{7}'), "{xml}");
        assert_eq!(xml.matches("<testcase").count(), 4);
        assert_eq!(xml.matches("</testcase>").count(), 3);
    }
}
