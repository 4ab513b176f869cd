//! A progress bar for work that takes longer than a second, on a terminal only.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

/// Work shorter than this shows no bar.
const QUIET: Duration = Duration::from_secs(1);
/// How often the bar is drawn.
const DRAWS_PER_SECOND: u8 = 8;

/// Progress of one piece of work. Does nothing in a pipe.
pub(crate) struct Progress {
    bar: ProgressBar,
    started: Instant,
    shown: bool,
    template: &'static str,
}

impl Progress {
    /// Progress over `total` bytes, or over an unknown number of them.
    pub(crate) fn bytes(total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}",
            None => "{spinner} {bytes} {bytes_per_sec} {elapsed}",
        };
        Self::start(total, template)
    }

    /// Progress over `total` things, or over an unknown number of them.
    pub(crate) fn count(total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{bar:40} {pos}/{len} {per_sec} eta {eta}",
            None => "{spinner} {pos} {per_sec} {elapsed}",
        };
        Self::start(total, template)
    }

    fn start(total: Option<u64>, template: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        Self { bar, started: Instant::now(), shown: false, template }
    }

    /// Says that this much more is done.
    pub(crate) fn add(&mut self, done: u64) {
        self.bar.inc(done);
        if !self.shown && self.started.elapsed() >= QUIET {
            self.shown = true;
            if io::stderr().is_terminal() {
                let style =
                    ProgressStyle::with_template(self.template).expect("the templates above are valid");
                self.bar.set_style(style);
                self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND));
            }
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
