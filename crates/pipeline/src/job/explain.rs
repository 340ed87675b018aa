//! The settings in words: a job file in which every setting stands with its description and its default.

use super::{Input, Job, Light, Models, Output, Preset, Prompt, Replace, Sampling, Video};
use crate::{Error, Result};
use serde::Serialize;
use std::fmt::Write;

/// A section of settings with its descriptions, as the macro `settings!` makes them.
pub(crate) trait Section: Serialize {
    /// What the section is about, line by line.
    const ABOUT: &'static [&'static str];
    /// Names and descriptions, line by line.
    const SETTINGS: &'static [(&'static str, &'static [&'static str])];
}

impl Job {
    /// A job file (TOML) with every setting of a preset: its description and its value. Settings without a value stand there
    /// as comments.
    ///
    /// # Errors
    /// When a value can't be written.
    pub fn explain(preset: Preset) -> Result<String> {
        let job = Self::new(preset);
        let mut out = String::new();
        section::<Input>(&mut out, "input", &job.input)?;
        section::<Video>(&mut out, "video", &job.video)?;
        section::<Light>(&mut out, "light", &job.light)?;
        section::<Models>(&mut out, "models", &job.models)?;
        section::<Prompt>(&mut out, "prompt", &job.prompt)?;
        section::<Sampling>(&mut out, "sampling", &job.sampling)?;
        section::<Output>(&mut out, "output", &job.output)?;
        let mut replace = String::new();
        section::<Replace>(&mut replace, "replace", &Replace::default())?;
        // Only a job that has a raw video has this section.
        for line in replace.lines() {
            let comment = if line.is_empty() || line.starts_with('#') { "" } else { "# " };
            let _ = writeln!(out, "{comment}{line}");
        }
        Ok(out)
    }
}

impl Job {
    /// All settings as job files have them: section and name.
    #[must_use]
    pub fn settings() -> Vec<(&'static str, &'static str)> {
        fn of<S: Section>(name: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
            S::SETTINGS.iter().map(move |(setting, _)| (name, *setting))
        }
        of::<Input>("input")
            .chain(of::<Video>("video"))
            .chain(of::<Light>("light"))
            .chain(of::<Models>("models"))
            .chain(of::<Prompt>("prompt"))
            .chain(of::<Sampling>("sampling"))
            .chain(of::<Output>("output"))
            .chain(of::<Replace>("replace"))
            .collect()
    }
}

fn section<S: Section>(out: &mut String, name: &str, values: &S) -> Result<()> {
    let failed = |e: toml::ser::Error| Error::Settings(e.to_string());
    let values = toml::Table::try_from(values).map_err(failed)?;
    // Writing to a string can't fail.
    for line in S::ABOUT {
        let _ = writeln!(out, "#{line}");
    }
    let _ = writeln!(out, "[{name}]");
    for (setting, about) in S::SETTINGS {
        let _ = writeln!(out);
        for line in *about {
            let _ = writeln!(out, "#{line}");
        }
        match values.get(*setting) {
            Some(value) => {
                let _ = writeln!(out, "{setting} = {value}");
            }
            None => {
                let _ = writeln!(out, "# {setting} =");
            }
        }
    }
    let _ = writeln!(out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_explanation_is_a_job_file_of_the_preset() {
        let dir = tempfile::tempdir().unwrap();
        for preset in [Preset::Demo, Preset::AniCrafter] {
            let path = dir.path().join("job.toml");
            let text = Job::explain(preset).unwrap();
            std::fs::write(&path, &text).unwrap();
            let mut expected = Job::new(preset);
            expected.output.video = dir.path().join("out.mp4");
            assert_eq!(Job::read(&path).unwrap(), expected, "{text}");
            for named in ["window = ", "# character =", "# [replace]", "# The video.", "preset = "] {
                assert!(text.contains(named), "{named} is missing in {text}");
            }
        }
    }
}
