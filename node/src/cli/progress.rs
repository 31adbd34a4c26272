//! A bar for long work, drawn on a terminal only: a script's log stays clean.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// Work of a known size. The bar goes away when this is dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Work on `total` bytes.
    pub(super) fn bytes(doing: &str, total: u64) -> Self {
        Self::new(doing, total, "{msg:>10} [{bar:40}] {bytes} of {total_bytes}, {eta} left")
    }

    /// Work on `total` things.
    pub(super) fn steps(doing: &str, total: u64) -> Self {
        Self::new(doing, total, "{msg:>10} [{bar:40}] {pos} of {len}")
    }

    fn new(doing: &str, total: u64, template: &str) -> Self {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr_with_hz(10),
            false => ProgressDrawTarget::hidden(),
        };
        let style = ProgressStyle::with_template(template).expect("the template is ours");
        let bar = ProgressBar::with_draw_target(Some(total), target);
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(doing.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress(bar)
    }

    /// `done` of `total` is done.
    pub(super) fn set(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// How much is done.
    #[cfg(test)]
    pub(super) fn done(&self) -> u64 {
        self.0.position()
    }

    /// All is done here, and somebody else is at work of whom nobody knows how far.
    pub(super) fn wait(&self, message: &'static str) {
        let spinner = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
        self.0.set_style(spinner.expect("the template is ours"));
        self.0.set_message(message);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
