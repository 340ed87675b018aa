//! When a track's samples are presented: composition times through the edit list.

use super::demux::{Edit, Track};

/// When each picture of a track is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timeline {
    /// For the k-th picture in presentation order, when it is shown, in the track's time units from the movie's zero; None
    /// where the edit list hides it.
    pub(crate) shown: Vec<Option<i64>>,
    /// When the last picture that is shown is over.
    pub(crate) end: i64,
}

impl Timeline {
    /// Through the track's edit list.
    ///
    /// Errors say what about the list can't be played here.
    pub(crate) fn of(track: &Track, movie_timescale: u32) -> Result<Self, &'static str> {
        let mut times: Vec<(i64, u32)> = track.samples.iter().map(|s| (s.time, s.duration)).collect();
        times.sort_by_key(|t| t.0);
        let parts = parts(track, movie_timescale)?;
        let length = |(i, &(time, duration)): (usize, &(i64, u32))| match times.get(i + 1) {
            Some(next) => next.0 - time,
            None => i64::from(duration),
        };
        let mut shown = vec![None; times.len()];
        let mut end = 0;
        for part in &parts {
            for ((i, &(time, duration)), shown) in times.iter().enumerate().zip(&mut shown) {
                // The list's times are rounded to the movie's units, so a frame may lie that much outside.
                let slack = part.tick.min(i64::from(duration / 2));
                if time.saturating_add(slack) < part.from || time >= part.to.saturating_sub(slack) {
                    continue;
                }
                let at = part.at.saturating_add(time.saturating_sub(part.from)).max(part.at);
                *shown = Some(at);
                let own_end = time.saturating_add(length((i, &(time, duration))));
                let cut = own_end.min(part.to).saturating_sub(part.from);
                end = end.max(part.at.saturating_add(cut)).max(at);
            }
        }
        if shown.iter().all(Option::is_none) {
            // A list that hides everything is taken for a mistake.
            let last = times.last().map_or(0, |&(time, duration)| time.saturating_add(duration.into()));
            return Ok(Self { shown: times.iter().map(|t| Some(t.0)).collect(), end: last });
        }
        Ok(Self { shown, end })
    }

    /// When the first picture is shown.
    pub(crate) fn start(&self) -> i64 {
        self.shown.iter().flatten().copied().min().unwrap_or(0)
    }
}

/// A stretch of the track that is played: all in the track's time units.
struct Part {
    from: i64,
    to: i64,
    /// When it is played, from the movie's zero.
    at: i64,
    /// One unit of the movie's.
    tick: i64,
}

fn parts(track: &Track, movie_timescale: u32) -> Result<Vec<Part>, &'static str> {
    let scaled = |duration: u64| -> i64 {
        let units = u128::from(duration) * u128::from(track.timescale) / u128::from(movie_timescale.max(1));
        i64::try_from(units).unwrap_or(i64::MAX)
    };
    let tick = i64::from(track.timescale / movie_timescale.max(1)) + 1;
    let mut out: Vec<Part> = Vec::new();
    let mut at = 0_i64;
    for (i, edit) in track.edits.iter().enumerate() {
        let length = scaled(edit.duration);
        if edit.media_time < 0 {
            at = at.saturating_add(length);
            continue;
        }
        if edit.rate != Edit::NORMAL {
            return Err("an edit list that changes the speed");
        }
        let last = i + 1 == track.edits.len();
        // The last stretch may be open; an empty one before it shows nothing.
        let to = match edit.duration {
            0 if last => i64::MAX,
            _ => edit.media_time.saturating_add(length),
        };
        if out.last().is_some_and(|before| edit.media_time < before.to.saturating_sub(before.tick)) {
            return Err("an edit list that goes back");
        }
        out.push(Part { from: edit.media_time, to, at, tick });
        at = at.saturating_add(length);
    }
    if out.is_empty() {
        // Without a list, composition times are presentation times.
        out.push(Part { from: i64::MIN / 4, to: i64::MAX, at: i64::MIN / 4, tick: 0 });
    }
    Ok(out)
}

/// When a track's sound is heard: the place in the track that is played at the movie's zero, in the track's time units;
/// negative is silence in front. None where the edit list has several stretches.
pub(crate) fn sound_start(track: &Track, movie_timescale: u32) -> Option<i64> {
    let parts = parts(track, movie_timescale).ok()?;
    let [part] = parts.as_slice() else { return None };
    let first = track.samples.runs.first().map_or(0, |r| r.decode_time);
    // Sound without a list begins with its first sample, which fragments may date late.
    let whole = part.from == i64::MIN / 4;
    Some(if whole && first < 0 { first } else { part.from.saturating_sub(part.at) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mp4::boxes::FourCc;
    use crate::mp4::samples::{Run, Samples};

    fn track(edits: &[(u64, i64)]) -> Track {
        let mut samples = Samples::default();
        let run =
            Run { offset: 0, size: 1, count: 10, decode_time: 0, duration: 40, shift: 80, description: 0 };
        samples.push(run, 1000);
        let edits =
            edits.iter().map(|&(duration, media_time)| Edit { duration, media_time, rate: Edit::NORMAL });
        Track {
            id: 1,
            handler: FourCc(*b"vide"),
            timescale: 1000,
            entries: Vec::new(),
            matrix: [0; 9],
            edits: edits.collect(),
            samples,
        }
    }

    #[test]
    fn edit_lists_cut_and_wait() {
        let shown = |edits: &[(u64, i64)]| {
            let t = Timeline::of(&track(edits), 1000).unwrap();
            (t.shown.iter().flatten().copied().collect::<Vec<_>>(), t.end)
        };
        assert_eq!(shown(&[]).0[..2], [80, 120]);
        assert_eq!(shown(&[(0, 80)]), ((0..10).map(|i| 40 * i).collect(), 400));
        // A wait of 500, then three frames from the second on.
        assert_eq!(shown(&[(500, -1), (120, 120)]), (vec![500, 540, 580], 620));
        // Two stretches with a cut between them.
        assert_eq!(shown(&[(80, 80), (80, 240)]), (vec![0, 40, 80, 120], 160));
        assert!(Timeline::of(&track(&[(80, 240), (80, 80)]), 1000).is_err());
        assert_eq!(sound_start(&track(&[(500, -1), (0, 80)]), 1000), Some(-420));
        assert_eq!(sound_start(&track(&[(80, 80), (80, 240)]), 1000), None);
    }
}
