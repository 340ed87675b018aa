//! Where a track's samples lie and when they are decoded, as runs of equal ones: two minutes of uncompressed sound are
//! six million samples and a few hundred runs.

use super::boxes::{FourCc, Reader};

/// Samples that lie one after the other in the file, each as long as the others in bytes and in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where the first one lies in the file.
    pub(crate) offset: u64,
    /// Length of each in bytes.
    pub(crate) size: u32,
    pub(crate) count: u32,
    /// Decoding time of the first one, in the track's time units.
    pub(crate) decode_time: i64,
    /// Length of each in the track's time units.
    pub(crate) duration: u32,
    /// Presentation time less decoding time.
    pub(crate) shift: i32,
    /// Which of the track's sample descriptions they need, from 0.
    pub(crate) description: u16,
}

/// One coded frame of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Position in the file.
    pub(crate) offset: u64,
    /// Length in bytes.
    pub(crate) size: u32,
    /// Presentation time in the track's time units, before its edit list.
    pub(crate) time: i64,
    /// Length in the track's time units.
    pub(crate) duration: u32,
    /// Which of the track's sample descriptions it needs, from 0.
    pub(crate) description: u16,
}

impl Run {
    /// Where its bytes end.
    fn end(&self) -> u64 {
        self.offset + u64::from(self.size) * u64::from(self.count)
    }

    /// When its last sample is over, in the track's time units.
    pub(crate) fn end_time(&self) -> i64 {
        self.decode_time.saturating_add(i64::from(self.duration).saturating_mul(i64::from(self.count)))
    }

    /// How many of its samples begin before `time`.
    pub(crate) fn before(&self, time: i64) -> u32 {
        let ahead = time.saturating_sub(self.decode_time);
        let n = match self.duration {
            _ if ahead <= 0 => 0,
            0 => i64::from(self.count),
            d => (ahead + i64::from(d) - 1) / i64::from(d),
        };
        n.min(self.count.into()) as u32
    }

    /// The run without its first `n` samples.
    pub(crate) fn without_first(self, n: u32) -> Self {
        let n = n.min(self.count);
        Self {
            offset: self.offset + u64::from(self.size) * u64::from(n),
            count: self.count - n,
            decode_time: self.decode_time + i64::from(self.duration) * i64::from(n),
            ..self
        }
    }
}

/// The samples of a track in decoding order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Samples {
    pub(crate) runs: Vec<Run>,
    /// Samples that the index lists beyond the end of the file.
    pub(crate) missing: u64,
}

impl Samples {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(crate) fn len(&self) -> u64 {
        self.runs.iter().map(|r| u64::from(r.count)).sum()
    }

    /// When the last sample is over, in the track's time units.
    pub(crate) fn end_time(&self) -> i64 {
        self.runs.last().map_or(0, Run::end_time)
    }

    /// Sample by sample, in decoding order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Sample> + '_ {
        self.runs.iter().flat_map(|run| {
            (0..run.count).map(|i| Sample {
                offset: run.offset + u64::from(run.size) * u64::from(i),
                size: run.size,
                time: run.decode_time + i64::from(run.duration) * i64::from(i) + i64::from(run.shift),
                duration: run.duration,
                description: run.description,
            })
        })
    }

    /// Appends samples, as part of the last run where they go on like it. What lies beyond the file's end is only counted.
    pub(crate) fn push(&mut self, mut run: Run, file_len: u64) {
        let room = file_len.saturating_sub(run.offset).checked_div(run.size.into()).unwrap_or(u64::MAX);
        let fits = u64::from(run.count).min(room) as u32;
        // After a sample that isn't there, none can be decoded.
        let fits = if self.missing > 0 { 0 } else { fits };
        self.missing += u64::from(run.count - fits);
        run.count = fits;
        if run.count == 0 {
            return;
        }
        if let Some(last) = self.runs.last_mut() {
            let goes_on = last.end() == run.offset
                && last.size == run.size
                && last.end_time() == run.decode_time
                && (last.duration, last.shift, last.description)
                    == (run.duration, run.shift, run.description);
            if let Some(count) = last.count.checked_add(run.count).filter(|_| goes_on) {
                last.count = count;
                return;
            }
        }
        self.runs.push(run);
    }
}

/// The sample tables of one track, as stored.
pub(super) struct Tables<'a> {
    /// (count, duration)
    times: Vec<(u32, u32)>,
    /// (count, shift)
    shifts: Vec<(u32, i32)>,
    chunks: Vec<Chunks>,
    offsets: Vec<u64>,
    sizes: Sizes<'a>,
}

/// Chunks from number `first` (from 1) on have `n` samples each, of one description.
#[derive(Clone, Copy)]
struct Chunks {
    first: u32,
    n: u32,
    description: u16,
}

enum Sizes<'a> {
    Same { size: u32, count: u32 },
    Each(&'a [[u8; 4]]),
}

impl<'a> Tables<'a> {
    pub(super) fn read(stbl: Reader<'a>) -> Result<Self, String> {
        let rows = |kind: &[u8; 4], stride: usize| -> Result<&'a [u8], String> {
            let bad = || format!("no usable {:?} box", FourCc(*kind));
            let mut table = stbl.find(kind).ok_or_else(bad)?;
            table.skip(4).ok_or_else(bad)?;
            let n = table.u32().ok_or_else(bad)? as usize;
            n.checked_mul(stride).and_then(|n| table.take(n)).ok_or_else(bad)
        };
        let word = |row: &[u8], i: usize| {
            let bytes = row.get(4 * i..4 * i + 4).and_then(|b| b.try_into().ok());
            u32::from_be_bytes(bytes.unwrap_or_default())
        };
        let pairs = |bytes: &[u8]| -> Vec<(u32, u32)> {
            bytes.chunks_exact(8).map(|row| (word(row, 0), word(row, 1))).collect()
        };
        let times = pairs(rows(b"stts", 8)?);
        let shifts = match stbl.find(b"ctts") {
            // The shifts are read as signed whatever the version: files of version 0 hold negative ones too.
            Some(_) => pairs(rows(b"ctts", 8)?).into_iter().map(|(n, shift)| (n, shift as i32)).collect(),
            None => Vec::new(),
        };
        let chunks = rows(b"stsc", 12)?.chunks_exact(12).map(|row| Chunks {
            first: word(row, 0),
            n: word(row, 1),
            description: u16::try_from(word(row, 2).saturating_sub(1)).unwrap_or(u16::MAX),
        });
        let offsets = chunk_offsets(stbl).ok_or("no usable stco or co64 box")?;
        let sizes = sample_sizes(stbl).ok_or("no usable stsz box")?;
        Ok(Self { times, shifts, chunks: chunks.collect(), offsets, sizes })
    }

    pub(super) fn samples(&self, file_len: u64) -> Result<Samples, String> {
        let count = match self.sizes {
            Sizes::Each(sizes) => sizes.len() as u64,
            Sizes::Same { size: 0, count: 1.. } => return Err("samples of no bytes".to_owned()),
            Sizes::Same { count, .. } => count.into(),
        };
        let mut out = Samples::default();
        let (mut times, mut shifts) = (Stretches::new(&self.times), Stretches::new(&self.shifts));
        let (mut index, mut decode_time) = (0_u64, 0_i64);
        let mut chunks = self.chunks.iter().copied().peekable();
        let mut kind = Chunks { first: 1, n: 0, description: 0 };
        for (chunk, &offset) in self.offsets.iter().enumerate() {
            while let Some(next) = chunks.next_if(|c| c.first as usize <= chunk + 1) {
                kind = next;
            }
            let mut left = u64::from(kind.n).min(count - index);
            let mut offset = offset;
            while left > 0 {
                let (duration, n_alike) =
                    times.peek().ok_or_else(|| format!("no time for sample {index}"))?;
                let (shift, n_shifted) = shifts.peek().unwrap_or((0, u32::MAX));
                let (size, n) = match self.sizes {
                    Sizes::Each(sizes) => {
                        (sizes.get(index as usize).map_or(0, |s| u32::from_be_bytes(*s)), 1)
                    }
                    Sizes::Same { size, .. } => (size, left.min(n_alike.min(n_shifted).into()) as u32),
                };
                let run = Run {
                    offset,
                    size,
                    count: n,
                    decode_time,
                    duration,
                    shift,
                    description: kind.description,
                };
                let end = offset.checked_add(u64::from(size) * u64::from(n));
                offset = end.ok_or_else(|| format!("sample {index} lies beyond every file"))?;
                out.push(run, file_len);
                times.advance(n);
                shifts.advance(n);
                decode_time = decode_time.saturating_add(i64::from(duration) * i64::from(n));
                (index, left) = (index + u64::from(n), left - u64::from(n));
            }
            if index == count {
                break;
            }
        }
        if index == count {
            Ok(out)
        } else {
            Err(format!("{count} samples promised, the chunks hold {index}"))
        }
    }
}

/// Walks a run-length table without unrolling it.
struct Stretches<'a, T> {
    rows: &'a [(u32, T)],
    used: u32,
}

impl<'a, T: Copy> Stretches<'a, T> {
    fn new(rows: &'a [(u32, T)]) -> Self {
        Self { rows, used: 0 }
    }

    /// The value here and for how many samples it still holds.
    fn peek(&mut self) -> Option<(T, u32)> {
        while let Some(&(n, value)) = self.rows.first() {
            if self.used < n {
                return Some((value, n - self.used));
            }
            (self.rows, self.used) = (&self.rows[1..], 0);
        }
        None
    }

    /// Goes on by `n` samples, at most as many as [`Stretches::peek`] named.
    fn advance(&mut self, n: u32) {
        self.used = self.used.saturating_add(n);
    }
}

fn chunk_offsets(stbl: Reader<'_>) -> Option<Vec<u64>> {
    if let Some(mut stco) = stbl.find(b"stco") {
        stco.skip(4)?;
        let n = stco.u32()? as usize;
        let bytes = stco.take(n.checked_mul(4)?)?;
        return Some(bytes.as_chunks::<4>().0.iter().map(|b| u32::from_be_bytes(*b).into()).collect());
    }
    let mut co64 = stbl.find(b"co64")?;
    co64.skip(4)?;
    let n = co64.u32()? as usize;
    let bytes = co64.take(n.checked_mul(8)?)?;
    Some(bytes.as_chunks::<8>().0.iter().map(|b| u64::from_be_bytes(*b)).collect())
}

fn sample_sizes(stbl: Reader<'_>) -> Option<Sizes<'_>> {
    let mut stsz = stbl.find(b"stsz")?;
    stsz.skip(4)?;
    let size = stsz.u32()?;
    let count = stsz.u32()?;
    if size != 0 {
        return Some(Sizes::Same { size, count });
    }
    let bytes = stsz.take((count as usize).checked_mul(4)?)?;
    Some(Sizes::Each(bytes.as_chunks::<4>().0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Run =
        Run { offset: 100, size: 4, count: 10, decode_time: 50, duration: 2, shift: 0, description: 0 };

    #[test]
    fn equal_samples_are_one_run_and_what_is_beyond_the_file_is_counted() {
        let mut samples = Samples::default();
        samples.push(RUN, 1000);
        samples.push(Run { offset: 140, decode_time: 70, ..RUN }, 1000);
        assert_eq!(samples.runs, [Run { count: 20, ..RUN }]);
        samples.push(Run { offset: 180, decode_time: 90, ..RUN }, 190);
        assert_eq!((samples.runs[0].count, samples.missing), (22, 8));
        samples.push(Run { offset: 10, decode_time: 110, ..RUN }, 190);
        assert_eq!((samples.len(), samples.missing), (22, 18));
        assert_eq!(samples.iter().nth(21).map(|s| (s.offset, s.time)), Some((184, 92)));
    }

    #[test]
    fn runs_are_cut_by_time() {
        assert_eq!([RUN.before(50), RUN.before(51), RUN.before(53), RUN.before(900)], [0, 1, 2, 10]);
        let rest = RUN.without_first(3);
        assert_eq!((rest.offset, rest.count, rest.decode_time, rest.end_time()), (112, 7, 56, 70));
        assert_eq!(RUN.without_first(99).count, 0);
    }
}
