//! Movie fragments: samples that are listed in `moof` boxes between the data, as browsers, phones and recorders write them
//! (ISO/IEC 14496-12, 8.8).

use super::boxes::Reader;
use super::demux::Track;
use super::samples::Run;
use std::collections::BTreeMap;

/// What samples are like where a fragment doesn't say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    description: u16,
    duration: u32,
    size: u32,
}

/// The defaults of `mvex`, by track id.
pub(super) fn defaults(mvex: Reader<'_>) -> BTreeMap<u32, Defaults> {
    let mut out = BTreeMap::new();
    let mut children = mvex;
    while let Some((kind, mut trex)) = children.child() {
        if kind.0 != *b"trex" {
            continue;
        }
        let read = || -> Option<(u32, Defaults)> {
            trex.full()?;
            let id = trex.u32()?;
            let description = description_index(trex.u32()?);
            Some((id, Defaults { description, duration: trex.u32()?, size: trex.u32()? }))
        };
        let mut read = read;
        out.extend(read());
    }
    out
}

fn description_index(from_one: u32) -> u16 {
    u16::try_from(from_one.saturating_sub(1)).unwrap_or(u16::MAX)
}

/// Appends the samples of one `moof` box, which begins at byte `at` of a file of `file_len` bytes.
pub(super) fn append(
    moof: Reader<'_>,
    at: u64,
    file_len: u64,
    defaults: &BTreeMap<u32, Defaults>,
    tracks: &mut [Track],
) -> Result<(), String> {
    let mut children = moof;
    // Where the data of the track fragment before this one ended.
    let mut data_end = at;
    while let Some((kind, traf)) = children.child() {
        if kind.0 == *b"traf" {
            data_end = track_fragment(traf, (at, data_end), file_len, defaults, tracks)
                .ok_or_else(|| format!("no usable traf box in the fragment at byte {at}"))?;
        }
    }
    Ok(())
}

fn track_fragment(
    traf: Reader<'_>,
    (moof_at, data_end): (u64, u64),
    file_len: u64,
    defaults: &BTreeMap<u32, Defaults>,
    tracks: &mut [Track],
) -> Option<u64> {
    let mut tfhd = traf.find(b"tfhd")?;
    let (_, flags) = tfhd.full()?;
    let id = tfhd.u32()?;
    let base = if flags & 0x1 != 0 { Some(tfhd.u64()?) } else { None };
    let mut like = defaults.get(&id).copied().unwrap_or_default();
    if flags & 0x2 != 0 {
        like.description = description_index(tfhd.u32()?);
    }
    if flags & 0x8 != 0 {
        like.duration = tfhd.u32()?;
    }
    if flags & 0x10 != 0 {
        like.size = tfhd.u32()?;
    }
    let first = data_end == moof_at;
    let base = base.unwrap_or(if first || flags & 0x2_0000 != 0 { moof_at } else { data_end });
    let Some(track) = tracks.iter_mut().find(|t| t.id == id) else { return Some(data_end) };
    let mut time = match traf.find(b"tfdt") {
        Some(mut tfdt) => match tfdt.full()?.0 {
            0 => i64::from(tfdt.u32()?),
            _ => i64::try_from(tfdt.u64()?).ok()?,
        },
        None => track.samples.end_time(),
    };
    let mut data = base;
    let mut children = traf;
    while let Some((kind, mut trun)) = children.child() {
        if kind.0 != *b"trun" {
            continue;
        }
        let (_, flags) = trun.full()?;
        let n = trun.u32()?;
        if flags & 0x1 != 0 {
            data = base.checked_add_signed(i64::from(trun.i32()?))?;
        }
        if flags & 0x4 != 0 {
            trun.skip(4)?;
        }
        let row = 4 * (flags >> 8 & 0xf).count_ones() as usize;
        if (n as usize).checked_mul(row)? > trun.remaining() {
            return None;
        }
        if row == 0 {
            // All alike: one run, however many the box claims.
            let (count, size, duration) = (n, like.size, like.duration);
            let run = Run {
                offset: data,
                size,
                count,
                decode_time: time,
                duration,
                shift: 0,
                description: like.description,
            };
            if size == 0 && n > 0 {
                return None;
            }
            track.samples.push(run, file_len);
            data = data.checked_add(u64::from(size) * u64::from(n))?;
            time = time.checked_add(i64::from(duration) * i64::from(n))?;
            continue;
        }
        for _ in 0..n {
            let duration = if flags & 0x100 != 0 { trun.u32()? } else { like.duration };
            let size = if flags & 0x200 != 0 { trun.u32()? } else { like.size };
            if flags & 0x400 != 0 {
                trun.skip(4)?;
            }
            let shift = if flags & 0x800 != 0 { trun.i32()? } else { 0 };
            let run = Run {
                offset: data,
                size,
                count: 1,
                decode_time: time,
                duration,
                shift,
                description: like.description,
            };
            track.samples.push(run, file_len);
            data = data.checked_add(size.into())?;
            time = time.checked_add(duration.into())?;
        }
    }
    Some(data)
}
