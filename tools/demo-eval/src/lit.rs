//! Clips whose condition is a composite with the scene's light and shadow.

use anyhow::{Context, Result};
use composite_eval::clip::{self, Clip};
use composite_eval::composite::{Composer, Known, Switches};
use composite_eval::recorded::Recorded;
use std::path::Path;
use synth::{Maker, Split};

/// Makes them.
pub(crate) struct Lit {
    maker: Maker,
    composer: Composer,
}

impl Lit {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { maker: Maker::new()?, composer: Composer::new()? })
    }
}

/// Reads a clip. With `lit`, its composite is made anew, from the same seed and number.
pub(crate) fn read(path: &Path, lit: Option<&mut Lit>, (seed, split): (u64, Split)) -> Result<Clip> {
    let mut clip = clip::read(path)?;
    let Some(lit) = lit else { return Ok(clip) };
    let number = clip.name.rsplit('_').next().and_then(|n| n.parse().ok());
    let number = number.with_context(|| format!("{}: a clip's name ends with its number", path.display()))?;
    let recorded = Recorded::make(&mut lit.maker, seed, split, number)?;
    anyhow::ensure!(
        recorded.clip.target == clip.target,
        "{} isn't clip {number} of seed {seed}",
        path.display()
    );
    clip.blend = lit.composer.compose(&recorded, Known::Sun, Switches::ALL)?.frames;
    Ok(clip)
}
