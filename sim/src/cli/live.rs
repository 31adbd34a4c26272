//! Lines that move while one waits, on a terminal only: a script's log stays clean.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::trace::Progress;

/// How often a line is drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// A bar that goes away when it is dropped.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// Work in `total` steps, or until somebody says enough.
    pub(super) fn new(doing: &str, total: Option<u64>) -> Self {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr_with_hz(10),
            false => ProgressDrawTarget::hidden(),
        };
        let template = match total {
            Some(_) => "{prefix} [{bar:32}] {pos}/{len}  {msg}  {eta} left",
            None => "{prefix} {spinner} {pos} in {elapsed}  {msg}",
        };
        let style = ProgressStyle::with_template(template).expect("the template is ours");
        let bar = ProgressBar::with_draw_target(total, target);
        bar.set_style(style.progress_chars("=> "));
        bar.set_prefix(doing.to_owned());
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// One step is done.
    pub(super) fn step(&self, message: String) {
        self.0.inc(1);
        self.0.set_message(message);
    }

    /// Prints a line without tearing the bar.
    pub(super) fn say(&self, line: &str) {
        self.0.suspend(|| eprintln!("{line}"));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Does `work` while a line shows how far in virtual time it is.
pub(super) fn watched<T: Send>(progress: &Progress, work: impl FnOnce() -> T + Send) -> T {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(TICK);
    let began = Instant::now();
    let done = std::thread::scope(|scope| {
        let working = scope.spawn(work);
        while !working.is_finished() {
            let (virtual_s, real_s) =
                (progress.virtual_time().as_secs_f64(), began.elapsed().as_secs_f64());
            let pace = virtual_s / real_s.max(f64::EPSILON);
            bar.set_message(format!("{virtual_s:.1} s of virtual time, {pace:.1} times real time"));
            std::thread::sleep(TICK / 4);
        }
        working.join()
    });
    bar.finish_and_clear();
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
