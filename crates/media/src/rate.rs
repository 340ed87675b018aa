//! Frame rates as fractions, so that 29.97 stays 30000/1001.

use crate::error::{Error, Result};
use std::fmt;

/// Frames per second as a fraction in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameRate {
    num: u32,
    den: u32,
}

impl FrameRate {
    /// `num / den` frames a second, reduced to lowest terms.
    ///
    /// # Errors
    /// When one of the two is zero.
    pub fn new(num: u32, den: u32) -> Result<Self> {
        if num == 0 || den == 0 {
            let (name, value) = ("frame rate", format!("{num}/{den}"));
            return Err(Error::Option { name, value, expected: "above 0" });
        }
        Ok(Self::reduced(num.into(), den.into()))
    }

    /// A whole number of frames a second; 0 is taken as 1.
    #[must_use]
    pub const fn whole(fps: u32) -> Self {
        Self { num: if fps == 0 { 1 } else { fps }, den: 1 }
    }

    /// Reduces a fraction of two numbers above zero, giving up low bits where it doesn't fit.
    pub(crate) fn reduced(num: u64, den: u64) -> Self {
        let (mut a, mut b) = (num, den);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let divisor = a.max(1);
        let (mut num, mut den) = (num / divisor, den / divisor);
        while num > u32::MAX.into() || den > u32::MAX.into() {
            (num, den) = (num / 2, den / 2);
        }
        Self { num: (num as u32).max(1), den: (den as u32).max(1) }
    }

    /// Numerator: frames.
    #[must_use]
    pub fn num(self) -> u32 {
        self.num
    }

    /// Denominator: seconds.
    #[must_use]
    pub fn den(self) -> u32 {
        self.den
    }

    /// Frames per second.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// When frame number `frame` begins, in seconds.
    #[must_use]
    pub fn seconds_of(self, frame: usize) -> f64 {
        frame as f64 * f64::from(self.den) / f64::from(self.num)
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.den == 1 { write!(f, "{}", self.num) } else { write!(f, "{}/{}", self.num, self.den) }
    }
}

impl std::str::FromStr for FrameRate {
    type Err = Error;

    /// `30`, `30000/1001`, `30000:1001` or a decimal such as `29.97` (exactly 2997/100).
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Option {
            name: "frame rate",
            value: text.to_owned(),
            expected: "a number above 0 or a fraction such as 30000/1001",
        };
        if let Some((num, den)) = text.split_once(['/', ':']) {
            let (num, den) = (num.trim().parse(), den.trim().parse());
            return Self::new(num.map_err(|_| wrong())?, den.map_err(|_| wrong())?);
        }
        let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        if fraction.len() > 6 {
            return Err(wrong());
        }
        let digits: u64 = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
        if digits == 0 || digits > u64::from(u32::MAX) {
            return Err(wrong());
        }
        Ok(Self::reduced(digits, 10_u64.pow(fraction.len() as u32)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_reduces() {
        let rate = |text: &str| text.parse::<FrameRate>().map(|r| (r.num(), r.den()));
        assert_eq!(rate("30").unwrap(), (30, 1));
        assert_eq!(rate("30000/1001").unwrap(), (30000, 1001));
        assert_eq!(rate("50:2").unwrap(), (25, 1));
        assert_eq!(rate("29.97").unwrap(), (2997, 100));
        for bad in ["", "0", "-3", "1/0", "x", "1.00000001", "99999999999"] {
            assert!(rate(bad).is_err(), "{bad:?}");
        }
        assert_eq!(FrameRate::new(30000, 1001).unwrap().to_string(), "30000/1001");
    }
}
