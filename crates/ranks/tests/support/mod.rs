//! What every implementation must do.

use anicrafter_ranks::{Collectives, Error, Result};

/// All calls, in a world and in its groups; every rank checks what it got.
pub(crate) fn exercise(ranks: &dyn Collectives) -> Result<()> {
    let (me, size) = (ranks.rank(), ranks.size());
    ranks.barrier()?;
    for len in [0, 1, 3, 1000] {
        let send: Vec<f32> = (0..size * len).map(|i| (1000 * me + i / len.max(1)) as f32).collect();
        let mut received = vec![-1.0; size * len];
        ranks.all_to_all_f32(&send, &mut received)?;
        let expected: Vec<f32> = (0..size * len).map(|i| (1000 * (i / len.max(1)) + me) as f32).collect();
        assert_eq!(received, expected, "rank {me} of {size}, {len} numbers each");
        let mut all = vec![-1.0; size * len];
        ranks.all_gather_f32(&vec![me as f32; len], &mut all)?;
        assert!(all.iter().enumerate().all(|(i, v)| *v == (i / len) as f32), "rank {me} gathered {all:?}");
    }
    for root in 0..size {
        let mut bytes = vec![me as u8; 5];
        ranks.broadcast(root, &mut bytes)?;
        assert_eq!(bytes, [root as u8; 5]);
        let mut text = if me == root { b"from the root".to_vec() } else { b"?".to_vec() };
        ranks.broadcast_vec(root, &mut text)?;
        assert_eq!(text, b"from the root");
    }
    // Even and odd ranks; a group's members keep their order, and errors name them as in the world.
    let group = ranks.split(me % 2)?;
    assert_eq!((group.rank(), group.size()), (me / 2, (size + 1 - me % 2) / 2));
    assert_eq!(group.world_rank(), ranks.world_rank());
    let mut members = vec![0.0; group.size()];
    group.all_gather_f32(&[me as f32], &mut members)?;
    assert!(members.iter().enumerate().all(|(n, v)| *v == (2 * n + me % 2) as f32), "{members:?}");
    let alone = group.split(me)?;
    assert_eq!((alone.rank(), alone.size()), (0, 1));
    alone.barrier()?;
    // Wrong lengths are this rank's own mistake; the others aren't disturbed.
    assert!(matches!(ranks.all_gather(&[1], &mut vec![0; size + 1]), Err(Error::Length { .. })));
    assert!(matches!(ranks.broadcast(size, &mut []), Err(Error::NoRank { .. })));
    let sent = ranks.traffic().sent;
    ranks.all_gather(&[7; 10], &mut vec![0; 10 * size])?;
    assert_eq!(ranks.traffic().sent - sent, 10 * (size as u64 - 1));
    ranks.barrier()
}

/// Calls that rank 1 doesn't make like the others.
pub(crate) fn quarrel(ranks: &dyn Collectives) -> Result<()> {
    let mut all = vec![0; 4 * ranks.size()];
    let error = match ranks.rank() {
        1 => ranks.barrier(),
        _ => ranks.all_gather(&[0; 4], &mut all),
    };
    match &error {
        Err(Error::Mismatch { rank: 1, other: 0, .. }) => {}
        // A rank that comes late hears of it from one that has met the others.
        Err(Error::Failed { why, .. }) if why.contains("rank 1 calls barrier where rank 0 calls") => {}
        other => panic!("{other:?}"),
    }
    error
}
