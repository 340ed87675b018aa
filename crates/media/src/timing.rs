//! From the times of stored frames to an even clock: which stored frame is seen at which tick.
//!
//! All that follows a reader counts frames at an even rate: motion, sound, masks. So uneven times end here. Tick `k` shows the
//! last stored frame whose time, rounded to the clock, isn't after `k`; this is what ffmpeg's `fps` filter does too, so that
//! it can take over at any tick.

use crate::rate::FrameRate;
use std::sync::Arc;

/// When stored frames are shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stamps {
    /// Start of each frame, ascending, in units of the time scale from the file's zero.
    pub(crate) times: Vec<i64>,
    /// When the last one is over; not after it where nobody knows.
    pub(crate) end: i64,
    /// Units a second.
    pub(crate) timescale: u32,
}

/// Stored frames on an even clock.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pace {
    pub(crate) rate: FrameRate,
    /// When tick 0 is, in seconds from the file's zero.
    pub(crate) start_s: f64,
    /// Number of ticks.
    pub(crate) total: usize,
    /// For each stored frame, the tick at which it appears; None for one that the next replaces at once.
    pub(crate) ticks: Vec<Option<usize>>,
    /// Each stored frame is seen for just one tick.
    pub(crate) even: bool,
}

/// Which of a video's stored frames is seen when, where its times are uneven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Number of stored frames.
    pub stored: usize,
    /// For each frame that comes out, the number of the stored one; ascending.
    pub frames: Arc<[usize]>,
}

/// Rates that people record at.
const RATES: [(u32, u32); 20] = [
    (5, 1),
    (8, 1),
    (10, 1),
    (12, 1),
    (15, 1),
    (16, 1),
    (18, 1),
    (20, 1),
    (24000, 1001),
    (24, 1),
    (25, 1),
    (30000, 1001),
    (30, 1),
    (48, 1),
    (50, 1),
    (60000, 1001),
    (60, 1),
    (90, 1),
    (120, 1),
    (240, 1),
];

/// A frame may hold this long on average, in seconds, before its times are taken for nonsense.
const LONGEST_HOLD_S: f64 = 300.0;

impl Stamps {
    /// Seconds from the first frame to the `i`-th.
    fn seconds(&self, i: usize) -> f64 {
        let first = self.times.first().copied().unwrap_or(0);
        self.times.get(i).map_or(0.0, |t| (t - first) as f64 / f64::from(self.timescale))
    }

    /// Length of the typical frame, in seconds.
    fn median_s(&self) -> f64 {
        let mut lengths: Vec<i64> = self.times.windows(2).map(|w| w[1] - w[0]).filter(|&d| d > 0).collect();
        lengths.sort_unstable();
        let own_end = self.end - self.times.last().copied().unwrap_or(0);
        let median = lengths.get(lengths.len() / 2).copied().unwrap_or(own_end);
        median as f64 / f64::from(self.timescale)
    }

    /// Seconds from the first frame's start to the last one's end.
    fn span_s(&self) -> f64 {
        let last = self.seconds(self.times.len().saturating_sub(1));
        let held = self.end - self.times.last().copied().unwrap_or(0);
        last + if held > 0 { held as f64 / f64::from(self.timescale) } else { self.median_s() }
    }

    /// Does every frame have a tick of its own at this rate, one after the other?
    fn is_even_at(&self, rate: FrameRate) -> bool {
        (0..self.times.len()).all(|i| (self.seconds(i) * rate.as_f64() - i as f64).abs() < 0.5)
    }

    /// How the times lie between the ticks: the mean rest, -0.5..=0.5 of a tick.
    fn phase(&self, rate: f64) -> f64 {
        let (sin, cos) = (0..self.times.len())
            .map(|i| (self.seconds(i) * rate).fract() * std::f64::consts::TAU)
            .fold((0.0, 0.0), |(s, c), angle| (s + angle.sin(), c + angle.cos()));
        if sin.hypot(cos) < 1e-6 { 0.0 } else { sin.atan2(cos) / std::f64::consts::TAU }
    }

    fn ticks(&self, rate: f64, phase: f64) -> impl Iterator<Item = usize> + '_ {
        (0..self.times.len()).map(move |i| (self.seconds(i) * rate - phase + 0.5).floor().max(0.0) as usize)
    }

    /// Frames that no tick of this rate shows.
    fn dropped_at(&self, rate: f64) -> usize {
        let mut before = usize::MAX;
        self.ticks(rate, self.phase(rate)).filter(|&t| std::mem::replace(&mut before, t) == t).count()
    }

    /// The one rate that these frames have, if they have one; `declared` is what the file says.
    fn even_rate(&self, declared: Option<FrameRate>) -> Option<FrameRate> {
        let n = self.times.len() as u64;
        let total = self.times.last()? - self.times.first()?;
        if n > 1 && total <= 0 {
            return Some(declared.unwrap_or(FrameRate::whole(30)));
        }
        if n < 2 {
            let length = u64::try_from(self.end - self.times.first()?).ok().filter(|&l| l > 0);
            return declared.or_else(|| length.map(|l| FrameRate::reduced(self.timescale.into(), l)));
        }
        let mean = FrameRate::reduced(u64::from(self.timescale) * (n - 1), total as u64);
        let mut lengths = self.times.windows(2).map(|w| w[1] - w[0]);
        let first = lengths.next();
        if lengths.all(|l| Some(l) == first) {
            return Some(declared.filter(|&d| self.is_even_at(d) && near(d, mean, 1e-3)).unwrap_or(mean));
        }
        if !self.is_even_at(mean) {
            return None;
        }
        // Times are rounded: the rate that they are rounded from is the usual one closest to their mean.
        let usual = RATES.iter().filter_map(|&(num, den)| FrameRate::new(num, den).ok());
        let fitting =
            declared.into_iter().chain(usual).filter(|&r| near(r, mean, 0.02) && self.is_even_at(r));
        let away = |r: &FrameRate| (r.as_f64() - mean.as_f64()).abs();
        Some(fitting.min_by(|a, b| away(a).total_cmp(&away(b))).unwrap_or(mean))
    }

    /// For uneven times: the lowest usual rate that loses next to no frames.
    fn uneven_rate(&self) -> FrameRate {
        let usual = RATES.iter().filter_map(|&(num, den)| FrameRate::new(num, den).ok());
        let losses: Vec<(FrameRate, usize)> = usual.map(|r| (r, self.dropped_at(r.as_f64()))).collect();
        let least = losses.iter().map(|l| l.1).min().unwrap_or(0);
        let allowed = least + self.times.len() / 100;
        // The rate of the typical frame, if it loses as few.
        let typical = 1.0 / self.median_s();
        let away = |r: FrameRate| (r.as_f64() / typical - 1.0).abs();
        let nearest = losses.iter().min_by(|a, b| away(a.0).total_cmp(&away(b.0)));
        if let Some(&(rate, lost)) = nearest
            && away(rate) < 0.1
            && lost <= allowed
        {
            return rate;
        }
        let mut good = losses.iter().filter(|l| l.1 <= allowed);
        let Some(&(lowest, lost)) = good.next() else { return FrameRate::whole(30) };
        // 23.976 and 24 are next to each other: the one that loses less.
        match good.next() {
            Some(&(next, fewer)) if fewer < lost && near(next, lowest, 0.002) => next,
            _ => lowest,
        }
    }
}

/// Are two rates within this part of each other?
fn near(a: FrameRate, b: FrameRate, part: f64) -> bool {
    (a.as_f64() / b.as_f64() - 1.0).abs() < part
}

impl Pace {
    /// At the rate asked for, or else the frames' own; `declared` is what the file says that is.
    pub(crate) fn new(stamps: &Stamps, wanted: Option<FrameRate>, declared: Option<FrameRate>) -> Self {
        let n = stamps.times.len();
        let start = stamps.times.first().copied().unwrap_or(0) as f64 / f64::from(stamps.timescale);
        let sensible = stamps.span_s() <= LONGEST_HOLD_S * n as f64 + 3600.0;
        let own = if sensible {
            stamps.even_rate(declared)
        } else {
            Some(declared.unwrap_or(FrameRate::whole(30)))
        };
        let even =
            |rate| Self { rate, start_s: start, total: n, ticks: (0..n).map(Some).collect(), even: true };
        let (rate, phase) = match (wanted, own) {
            (None, Some(rate)) => return even(rate),
            (Some(wanted), Some(rate)) if !sensible || near(wanted, rate, 1e-6) => return even(wanted),
            (Some(wanted), _) => (wanted, 0.0),
            (None, None) => {
                let rate = stamps.uneven_rate();
                (rate, stamps.phase(rate.as_f64()))
            }
        };
        let hz = rate.as_f64();
        let mut ticks: Vec<Option<usize>> = stamps.ticks(hz, phase).map(Some).collect();
        let last = ticks.last().copied().flatten().unwrap_or(0);
        let mut total = ((stamps.span_s() * hz - phase).round() as usize).max(1);
        if own.is_none() {
            total = total.max(last + 1);
        }
        // A frame that begins in the last half tick of the video is never seen.
        ticks.iter_mut().filter(|t| t.is_some_and(|t| t >= total)).for_each(|t| *t = None);
        for i in 1..ticks.len() {
            if ticks[i].is_some() && ticks[i] == ticks[i - 1] {
                ticks[i - 1] = None;
            }
        }
        Self { rate, start_s: start + phase / hz, total, ticks, even: false }
    }

    /// Every stored frame once, whatever its time, at the mean rate.
    pub(crate) fn as_stored(stamps: &Stamps, declared: Option<FrameRate>) -> Self {
        let n = stamps.times.len();
        let rate = stamps.even_rate(declared).unwrap_or_else(|| {
            let total =
                stamps.times.last().copied().unwrap_or(0) - stamps.times.first().copied().unwrap_or(0);
            FrameRate::reduced(
                u64::from(stamps.timescale) * (n as u64).saturating_sub(1).max(1),
                total.max(1) as u64,
            )
        });
        let start_s = stamps.times.first().copied().unwrap_or(0) as f64 / f64::from(stamps.timescale);
        Self { rate, start_s, total: n, ticks: (0..n).map(Some).collect(), even: true }
    }

    /// Which stored frame each tick shows; None where they are the same, one after the other.
    pub(crate) fn shown(&self) -> Option<Shown> {
        if self.even {
            return None;
        }
        let mut frames = Vec::with_capacity(self.total);
        let mut appearing =
            self.ticks.iter().enumerate().filter_map(|(i, tick)| Some((i, (*tick)?))).peekable();
        let mut current = 0;
        for tick in 0..self.total {
            while let Some(&(i, at)) = appearing.peek().filter(|(_, at)| *at <= tick) {
                debug_assert!(at <= tick);
                current = i;
                appearing.next();
            }
            frames.push(current);
        }
        Some(Shown { stored: self.ticks.len(), frames: frames.into() })
    }

    /// Stored frames that are never seen.
    pub(crate) fn dropped(&self) -> usize {
        self.ticks.iter().filter(|t| t.is_none()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(times: &[i64], end: i64) -> Stamps {
        Stamps { times: times.to_vec(), end, timescale: 1000 }
    }

    fn own(times: &[i64], end: i64) -> Pace {
        Pace::new(&stamps(times, end), None, None)
    }

    #[test]
    fn even_times_keep_every_frame() {
        let pace = own(&(0..50).map(|i| 40 * i).collect::<Vec<_>>(), 2000);
        assert_eq!((pace.rate, pace.total, pace.even), (FrameRate::whole(25), 50, true));
        // 29.97 in milliseconds.
        let times: Vec<i64> = (0..90).map(|i| (f64::from(i) * 1001.0 / 30.0).round() as i64).collect();
        let pace = own(&times, 3003);
        assert_eq!((pace.rate, pace.total), (FrameRate::new(30000, 1001).unwrap(), 90));
        // A browser's jitter around 25.
        let times: Vec<i64> = (0..60).map(|i| 40 * i + i * 7 % 17).collect();
        let pace = own(&times, 2400);
        assert_eq!((pace.rate, pace.total, pace.even), (FrameRate::whole(25), 60, true));
        let one = own(&[0], 40);
        assert_eq!((one.rate, one.total), (FrameRate::whole(25), 1));
    }

    #[test]
    fn uneven_times_become_even() {
        // 25 frames a second for 0.8 s, then 5.
        let mut times: Vec<i64> = (0..20).map(|i| 40 * i).collect();
        times.extend((0..8).map(|i| 800 + 200 * i));
        let pace = own(&times, 2400);
        assert_eq!((pace.rate, pace.total, pace.even, pace.dropped()), (FrameRate::whole(25), 60, false, 0));
        assert_eq!(pace.ticks[21], Some(25));
        let shown = pace.shown().unwrap();
        assert_eq!((shown.stored, shown.frames.len(), shown.frames[24], shown.frames[25]), (28, 60, 20, 21));
        // A wait after the first frame, then 30 with jitter: as many ticks as there is time.
        let times: Vec<i64> =
            std::iter::once(0).chain((0..60).map(|i| 517 + (i * 100 + i % 5 * 20) / 3)).collect();
        let pace = own(&times, 2517);
        assert!((pace.total as f64 / pace.rate.as_f64() - 2.517).abs() < 0.05, "{pace:?}");
        assert!(pace.dropped() <= 1, "{pace:?}");
    }

    #[test]
    fn another_rate_keeps_the_speed() {
        let times: Vec<i64> = (0..100).map(|i| 20 * i).collect();
        let half = Pace::new(&stamps(&times, 2000), Some(FrameRate::whole(25)), None);
        assert_eq!((half.total, half.dropped()), (50, 50));
        let double = Pace::new(&stamps(&times, 2000), Some(FrameRate::whole(100)), None);
        assert_eq!((double.total, double.dropped(), double.ticks[10]), (200, 0, Some(20)));
    }

    #[test]
    fn nonsense_is_counted_not_timed() {
        let pace = own(&[0, 1, i64::MAX / 2], i64::MAX / 2 + 1);
        assert_eq!((pace.total, pace.even), (3, true));
        assert_eq!(own(&[0, 0, 0], 0).total, 3);
    }
}
