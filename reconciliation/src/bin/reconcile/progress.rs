use std::borrow::Cow;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use reconciliation::intake::{Event, Observer};

/// A bar on standard error; nothing at all where that is no terminal.
#[derive(Clone)]
pub struct Progress(ProgressBar);

impl Progress {
    pub fn begin(what: impl Into<Cow<'static, str>>) -> Self {
        let bar = ProgressBar::new(0);
        let template = "{msg:<32!} {bar:32} {human_pos}/{human_len} {per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(bar)
    }

    pub fn at(&self, position: u64, of: u64) {
        self.0.set_length(of);
        self.0.set_position(position);
    }

    pub fn say(&self, what: impl Into<Cow<'static, str>>) {
        self.0.set_message(what);
    }

    pub fn end(&self) {
        self.0.finish_and_clear();
    }

    /// Shows the intake of a file.
    pub fn observer(&self, name: &str) -> Observer {
        let progress = self.clone();
        let (checking, storing) = (format!("checking {name}"), format!("storing {name}"));
        Arc::new(move |event| match event {
            Event::Checked { bytes, of } => {
                progress.say(checking.clone());
                progress.at(bytes, of);
            }
            Event::Stored { lines, of } => {
                progress.say(storing.clone());
                progress.at(lines, of);
            }
        })
    }
}
