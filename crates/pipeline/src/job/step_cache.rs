//! The step cache as a job states it.

use crate::{Error, Result};
use sampler::{StepCacheKind, TeaCacheModel};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// The rules of step caches, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum StepCacheName {
    /// TeaCache, which the reference has.
    #[default]
    Tea,
    /// EasyCache.
    Easy,
    /// A Taylor forecast of the velocity.
    Taylor,
}

/// The step cache's settings. Each rule takes some of them; one that it doesn't take is refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct StepCacheSettings {
    /// Which rule.
    #[serde(default)]
    pub kind: StepCacheName,
    /// `tea`, `easy`: higher leaves more steps out. Absent: 0.3 for `tea`, 0.05 for `easy`, as published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// `tea`: the published name of the model that the polynomial belongs to. Absent: Wan2.1-I2V-14B-720P.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `easy`, `taylor`: steps at the start that always run. Absent: 7 for `easy`, 3 for `taylor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_first: Option<usize>,
    /// `taylor`: every so many steps the model runs. Absent: 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<usize>,
    /// `taylor`: degree of the polynomial. Absent: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<usize>,
}

impl FromStr for StepCacheSettings {
    type Err = String;

    /// `tea`, `easy` or `taylor`, with a threshold or an interval: `tea=0.3`, `easy=0.05`, `taylor=3`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, number) = text.split_once('=').map_or((text, None), |(kind, n)| (kind, Some(n)));
        let mut settings = Self::of(match kind {
            "tea" => StepCacheName::Tea,
            "easy" => StepCacheName::Easy,
            "taylor" => StepCacheName::Taylor,
            other => return Err(format!("{other:?} is none of tea, easy, taylor")),
        });
        match (settings.kind, number) {
            (_, None) => {}
            (StepCacheName::Taylor, Some(number)) => {
                let interval =
                    number.parse().map_err(|_| format!("{number:?} isn't a whole number of steps"))?;
                settings.interval = Some(interval);
            }
            (_, Some(number)) => {
                let threshold = number.parse().map_err(|_| format!("{number:?} isn't a threshold"))?;
                settings.threshold = Some(threshold);
            }
        }
        Ok(settings)
    }
}

impl StepCacheSettings {
    /// The polynomial of AniCrafter's base model.
    const MODEL: TeaCacheModel = TeaCacheModel::I2v14b720p;

    /// A rule with its usual numbers.
    #[must_use]
    pub fn of(kind: StepCacheName) -> Self {
        Self { kind, ..Self::default() }
    }

    /// The rule with its numbers.
    ///
    /// # Errors
    /// When a setting belongs to another rule, a number is impossible, or the model has no polynomial.
    pub fn kind(&self) -> Result<StepCacheKind> {
        let (tea, easy, taylor) = (
            self.kind == StepCacheName::Tea,
            self.kind == StepCacheName::Easy,
            self.kind == StepCacheName::Taylor,
        );
        let stray = [
            ("sampling.step_cache.threshold", self.threshold.is_some() && taylor),
            ("sampling.step_cache.model", self.model.is_some() && !tea),
            ("sampling.step_cache.keep_first", self.keep_first.is_some() && tea),
            ("sampling.step_cache.interval", self.interval.is_some() && !taylor),
            ("sampling.step_cache.order", self.order.is_some() && !taylor),
        ];
        if let Some((option, _)) = stray.into_iter().find(|(_, stray)| *stray) {
            return Err(Error::Option {
                option,
                why: format!("is not a setting of the rule {:?}", self.kind),
            });
        }
        if let Some(threshold) = self.threshold.filter(|t| !(t.is_finite() && *t >= 0.0)) {
            let why = format!("must be a finite number and not negative, got {threshold}");
            return Err(Error::Option { option: "sampling.step_cache.threshold", why });
        }
        if easy {
            let (threshold, keep_first) = (self.threshold.unwrap_or(0.05), self.keep_first.unwrap_or(7));
            return Ok(StepCacheKind::Easy { threshold, keep_first });
        }
        if taylor {
            let (interval, order) = (self.interval.unwrap_or(3), self.order.unwrap_or(1));
            for (option, fits, why, got) in [
                ("sampling.step_cache.interval", interval >= 2, "at least 2", interval),
                ("sampling.step_cache.order", order <= 4, "at most 4", order),
            ] {
                if !fits {
                    return Err(Error::Option { option, why: format!("must be {why}, got {got}") });
                }
            }
            return Ok(StepCacheKind::Taylor { interval, order, keep_first: self.keep_first.unwrap_or(3) });
        }
        let model = match &self.model {
            None => Self::MODEL,
            Some(name) => {
                TeaCacheModel::from_name(name).ok_or_else(|| Error::TeaCacheModel { name: name.clone() })?
            }
        };
        Ok(StepCacheKind::Tea { threshold: self.threshold.unwrap_or(0.3), model })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_names_a_rule_and_its_number() {
        let kind = |text: &str| text.parse::<StepCacheSettings>().unwrap().kind().unwrap();
        assert_eq!(kind("tea"), StepCacheKind::Tea { threshold: 0.3, model: TeaCacheModel::I2v14b720p });
        assert_eq!(kind("easy=0.1"), StepCacheKind::Easy { threshold: 0.1, keep_first: 7 });
        assert_eq!(kind("taylor=4"), StepCacheKind::Taylor { interval: 4, order: 1, keep_first: 3 });
        for bad in ["0.3", "taylor=0.5", "easy=x"] {
            assert!(bad.parse::<StepCacheSettings>().is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_of_another_rule_are_refused() {
        let taylor =
            StepCacheSettings { threshold: Some(0.1), ..StepCacheSettings::of(StepCacheName::Taylor) };
        assert!(matches!(taylor.kind(), Err(Error::Option { option: "sampling.step_cache.threshold", .. })));
        let tea = StepCacheSettings { interval: Some(3), ..StepCacheSettings::default() };
        assert!(matches!(tea.kind(), Err(Error::Option { option: "sampling.step_cache.interval", .. })));
        let every = StepCacheSettings { interval: Some(1), ..StepCacheSettings::of(StepCacheName::Taylor) };
        assert!(every.kind().is_err());
    }
}
