//! Progress on standard error: a bar for a terminal, now and then a line for a log.

use std::io::IsTerminal as _;

use indicatif::ProgressBar;
use indicatif::ProgressStyle;

use crate::cli::printable;

/// How far something is.
#[derive(Debug)]
pub enum Progress {
    /// Drawn over and over.
    Bar(ProgressBar),
    /// Told at every tenth.
    Lines {
        /// What is going on.
        what: &'static str,
        /// The tenth that was told last.
        told: u64,
    },
}

impl Progress {
    /// Of `what`, which has `total` steps as far as is known.
    pub fn new(what: &'static str, total: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { what, told: 0 };
        }
        let bar = ProgressBar::new(total);
        if let Ok(style) = ProgressStyle::with_template("{prefix:>10} [{bar:32}] {pos} of {len} {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(what);
        Self::Bar(bar)
    }

    /// It is at `done` of `total`.
    pub fn at(&mut self, done: u64, total: u64) {
        match self {
            Self::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            Self::Lines { what, told } => {
                let tenth = (done * 10).checked_div(total).unwrap_or(10);
                if tenth > *told {
                    *told = tenth;
                    eprintln!("{what} {done} of {total}");
                }
            }
        }
    }

    /// Something to read while it goes on.
    pub fn note(&self, line: &str) {
        let line = printable(line);
        match self {
            Self::Bar(bar) => bar.suspend(|| eprintln!("{line}")),
            Self::Lines { .. } => eprintln!("{line}"),
        }
    }

    /// It is over.
    pub fn end(self) {
        match self {
            Self::Bar(bar) => bar.finish(),
            Self::Lines { .. } => {}
        }
    }
}
