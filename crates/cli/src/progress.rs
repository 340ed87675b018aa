//! Progress on a terminal, as lines, or as JSON events.

use indicatif::{ProgressBar, ProgressStyle};
use pipeline::{CancelToken, Event, Observer};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Style {
    /// A bar on a terminal, lines elsewhere.
    Auto,
    /// One line a stage.
    Plain,
    /// One JSON object a line on standard output.
    Json,
    /// Notes and errors alone.
    None,
}

/// A bar of a look; it has the plain one where the look can't be understood.
pub(crate) fn bar(look: &str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(look).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style.progress_chars("=> "))
}

/// Shows events.
pub(crate) struct Display {
    style: Style,
    bar: Mutex<Option<ProgressBar>>,
    /// Of files that are under way, beside a stage's own.
    transfer: Mutex<Option<ProgressBar>>,
}

/// Steps of a bar: fractions of a unit show as well.
const RESOLUTION: f64 = 1000.0;

impl Display {
    pub(crate) fn new(style: Style) -> Self {
        let style = match style {
            Style::Auto if !std::io::stderr().is_terminal() => Style::Plain,
            other => other,
        };
        Self { style, bar: Mutex::new(None), transfer: Mutex::new(None) }
    }

    /// Shows how far files are; a line when they are there.
    fn transfer(&self, here: bool, name: &str, done: u64, total: u64) {
        let mut bar = self.transfer.lock().unwrap_or_else(PoisonError::into_inner);
        let word = if here { "fetching" } else { "keeping" };
        if self.style == Style::Auto && done < total {
            let bar = bar.get_or_insert_with(|| {
                let look = "{msg:24} [{bar:36}] {bytes} of {total_bytes} (about {eta} left)";
                self::bar(look, total).with_message(word)
            });
            bar.set_position(done);
        } else if done == total {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
            eprintln!("{word:<10} {:>8.1} MiB  {name}", total as f64 / f64::from(1 << 20));
        }
    }

    fn start(&self, label: String, total: usize) {
        let look = "{msg:24} [{bar:36}] {percent:>3}% {elapsed} (about {eta} left)";
        let bar = bar(look, (total.max(1) as f64 * RESOLUTION) as u64).with_message(label);
        let mut current = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = current.replace(bar) {
            old.finish_and_clear();
        }
    }
}

impl Observer for Display {
    fn event(&self, event: &Event) {
        if self.style == Style::None {
            if let Event::Warning { message } = event {
                eprintln!("note: {message}");
            }
            return;
        }
        if self.style == Style::Json {
            if let Ok(line) = serde_json::to_string(event) {
                println!("{line}");
            }
            return;
        }
        let bars = self.style == Style::Auto;
        match event {
            Event::Started { stage, window, windows, total } if bars => {
                let label = if *windows == 1 {
                    stage.name().to_owned()
                } else {
                    format!("{} (window {} of {windows})", stage.name(), window + 1)
                };
                self.start(label, *total);
            }
            Event::Advanced { done, .. } if bars => {
                if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
                    bar.set_position((done * RESOLUTION) as u64);
                }
            }
            Event::Finished { stage, seconds, cached, peak_bytes } => {
                if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    bar.finish_and_clear();
                }
                let from = if *cached { "  (from the work folder)" } else { "" };
                let memory =
                    if *peak_bytes > 0 { format!("  peak {} MiB", peak_bytes >> 20) } else { String::new() };
                eprintln!("{:<10} {seconds:>8.2} s{memory}{from}", stage.name());
            }
            Event::Preparing { done: 0, total, bytes } => {
                let gib = *bytes as f64 / pipeline::models::GIB;
                eprintln!(
                    "preparing the transformer's weights, once: {gib:.1} GiB (--prepare never does without)"
                );
                if bars {
                    self.start("weights".to_owned(), *total);
                }
            }
            Event::Preparing { done, .. } if bars => {
                if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
                    bar.set_position((*done as f64 * RESOLUTION) as u64);
                }
            }
            Event::Transferring { here, name, done, total } => self.transfer(*here, name, *done, *total),
            Event::Warning { message } => eprintln!("note: {message}"),
            Event::Preview { step, path } => eprintln!("preview after step {step}: {}", path.display()),
            Event::Wrote { path } => eprintln!("wrote {}", path.display()),
            _ => {}
        }
    }
}

/// A token that SIGTERM and Ctrl-C cancel, however often they come: a scheduler says it twice, and kills what takes too long.
pub(crate) fn cancel_on_signals() -> CancelToken {
    let token = CancelToken::new();
    let shared = token.clone();
    let installed = ctrlc::set_handler(move || {
        if !shared.is_cancelled() {
            eprintln!("asked to stop: saving");
        }
        shared.cancel();
    });
    if let Err(error) = installed {
        eprintln!("note: signals will stop the program at once: {error}");
    }
    token
}

/// A token that Ctrl-C cancels; a second Ctrl-C ends the program at once.
pub(crate) fn cancel_on_ctrl_c() -> CancelToken {
    let token = CancelToken::new();
    let shared = token.clone();
    let installed = ctrlc::set_handler(move || {
        if shared.is_cancelled() {
            std::process::exit(130);
        }
        eprintln!("stopping after this step; press Ctrl-C again to stop at once");
        shared.cancel();
    });
    if let Err(error) = installed {
        eprintln!("note: Ctrl-C will stop at once: {error}");
    }
    token
}
