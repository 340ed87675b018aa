//! What of a model is in the files, and what of the files is in the model.

use super::Checkpoint;
use crate::keys::Model;
use crate::shape::same_shape;
use crate::{Manifest, Misshaped, Report};
use std::sync::PoisonError;

impl Checkpoint {
    /// Compares the files with the tensors that a model has, without reading them.
    #[must_use]
    pub fn compare(&self, manifest: &Manifest) -> Report {
        let mut report = Report { ignored: self.harmless.clone(), ..Report::default() };
        let optional = self.optional();
        for (name, expected) in &manifest.tensors {
            let needed = !optional.iter().any(|o| name.starts_with(o));
            match self.info(name) {
                None if needed => report.missing.push(name.clone()),
                None => {}
                Some(info) if same_shape(&info.shape, expected) => report.loaded.push(name.clone()),
                Some(info) if needed => {
                    let (name, expected) = (name.clone(), expected.clone());
                    report.misshaped.push(Misshaped { name, expected, found: info.shape });
                }
                Some(_) => report.ignored.push(name.clone()),
            }
        }
        let unknown = self.names().filter(|n| !manifest.tensors.contains_key(*n));
        let (ignored, unused): (Vec<_>, Vec<_>) =
            unknown.partition(|name| optional.iter().any(|o| name.starts_with(o)));
        report.ignored.extend(ignored.into_iter().map(str::to_owned));
        report.unused = unused.into_iter().map(str::to_owned).chain(self.outside.iter().cloned()).collect();
        report
    }

    /// Beginnings of the names of tensors that are a model's and that nothing here needs: the text tower of the CLIP file, and
    /// what stands behind the image tower's last block but one, whose features the transformer takes.
    fn optional(&self) -> Vec<String> {
        if self.model != Some(Model::Clip) {
            return Vec::new();
        }
        let number =
            |name: &str| name.strip_prefix("visual.transformer.")?.split('.').next()?.parse::<usize>().ok();
        let last = self.names().filter_map(number).max();
        let behind = ["textual.", "log_scale", "visual.head", "visual.post_norm."].map(str::to_owned);
        behind.into_iter().chain(last.map(|n| format!("visual.transformer.{n}."))).collect()
    }

    /// What has been asked for so far, and what hasn't.
    #[must_use]
    pub fn report(&self) -> Report {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let optional = self.optional();
        let rest = self.names().filter(|n| !seen.loaded.contains(*n) && !seen.misshaped.contains_key(*n));
        let (ignored, unused): (Vec<_>, Vec<_>) =
            rest.partition(|name| optional.iter().any(|o| name.starts_with(o)));
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
        Report {
            loaded: seen.loaded.iter().cloned().collect(),
            missing: seen.missing.iter().cloned().collect(),
            unused: owned(unused).into_iter().chain(self.outside.iter().cloned()).collect(),
            misshaped: seen.misshaped.values().cloned().collect(),
            ignored: owned(ignored).into_iter().chain(self.harmless.iter().cloned()).collect(),
        }
    }
}
