//! What matched and what didn't, by full name.

use std::fmt;

/// A tensor of another shape than the model's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misshaped {
    /// Its name.
    pub name: String,
    /// The model's shape.
    pub expected: Vec<usize>,
    /// The file's shape.
    pub found: Vec<usize>,
}

/// How a checkpoint and a model fit together. All lists are sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Tensors that the model has and the file holds in the right shape.
    pub loaded: Vec<String>,
    /// Tensors that the model has and the file doesn't.
    pub missing: Vec<String>,
    /// Tensors of the file that the model doesn't have.
    pub unused: Vec<String>,
    /// Tensors of another shape.
    pub misshaped: Vec<Misshaped>,
    /// Tensors of the file that are known to be needed by nothing here: other models of an all-in-one file, a tokenizer, parts of
    /// the model behind what is used.
    pub ignored: Vec<String>,
}

impl Report {
    /// Is nothing missing, unused or mis-shaped?
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.is_complete() && self.unused.is_empty()
    }

    /// Is nothing missing or mis-shaped?
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.misshaped.is_empty()
    }

    /// The same without the unused tensors whose names begin with one of `prefixes`: parts of a published file that
    /// nothing needs.
    #[must_use]
    pub fn allow_unused(mut self, prefixes: &[&str]) -> Self {
        self.unused.retain(|name| !prefixes.iter().any(|p| name.starts_with(p)));
        self
    }

    /// The report itself if nothing is missing, unused or mis-shaped.
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::Error::Mismatch) with the report.
    pub fn strict(self) -> crate::Result<Self> {
        if self.is_exact() { Ok(self) } else { Err(crate::Error::Mismatch(Box::new(self))) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} loaded, {} missing, {} of another shape, {} unused",
            self.loaded.len(),
            self.missing.len(),
            self.misshaped.len(),
            self.unused.len()
        )?;
        for name in &self.missing {
            write!(f, "\n  missing    {name}")?;
        }
        for m in &self.misshaped {
            write!(f, "\n  mis-shaped {}: expected {:?}, found {:?}", m.name, m.expected, m.found)?;
        }
        for name in &self.unused {
            write!(f, "\n  unused     {name}")?;
        }
        Ok(())
    }
}
