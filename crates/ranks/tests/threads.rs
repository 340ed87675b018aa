//! Ranks as threads: what they exchange, and that nobody waits for a rank that won't come.
#![expect(clippy::unwrap_used, reason = "tests, helpers included")]

mod support;

use anicrafter_ranks::{Collectives, Error, Result, Threads};
use std::time::{Duration, Instant};
use support::{exercise, quarrel};

#[test]
fn any_number_of_ranks_exchanges() {
    for size in [1, 2, 3, 4, 7] {
        Threads::run(size, |ranks| exercise(ranks)).unwrap();
    }
}

#[test]
fn many_calls_in_a_row_do_not_mix() {
    Threads::run(4, |ranks| {
        for i in 0..500_u64 {
            let mut all = [0; 32];
            ranks.all_gather(&(10 * i + ranks.rank() as u64).to_le_bytes(), &mut all)?;
            for (n, got) in all.chunks_exact(8).enumerate() {
                assert_eq!(got, (10 * i + n as u64).to_le_bytes());
            }
        }
        Ok::<_, Error>(())
    })
    .unwrap();
}

#[test]
fn calls_that_do_not_fit_are_an_error_for_everybody() {
    let error = Threads::run(3, |ranks| quarrel(ranks)).unwrap_err();
    assert!(error.to_string().starts_with("rank 1 calls barrier where rank 0 calls all-gather"), "{error}");
}

/// What the ranks besides `failing` see when that one does `how` while they wait in a group of their own.
fn others_see(failing: usize, how: impl Fn(&Threads) -> Result<()> + Sync) -> Vec<Error> {
    let seen = std::sync::Mutex::new(Vec::new());
    let start = Instant::now();
    let made = Threads::run(4, |ranks| {
        let group = ranks.split(ranks.rank() / 2);
        if ranks.rank() == failing {
            return how(ranks);
        }
        // Half of them wait for ranks that only wait for others themselves.
        let error = group.and_then(|group| group.barrier()).and_then(|()| ranks.barrier()).unwrap_err();
        seen.lock().unwrap().push(error.clone());
        Err(error)
    });
    assert!(made.is_err() && start.elapsed() < Duration::from_secs(20));
    seen.into_inner().unwrap()
}

#[test]
fn a_rank_that_fails_is_named_to_all() {
    let failed = Error::Start("no card".to_owned());
    let seen = others_see(2, |_| Err(failed.clone()));
    let named = Error::Failed { rank: 2, why: "ranks can't be started: no card".to_owned() };
    assert_eq!(seen, [named.clone(), named.clone(), named]);
}

#[test]
fn a_rank_that_panics_is_named_to_all() {
    let seen = others_see(1, |_| panic!("out of luck"));
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|e| e.to_string() == "rank 1 failed: it panicked: out of luck"), "{seen:?}");
}

#[test]
fn a_rank_that_leaves_early_is_named() {
    let made: Vec<Result<()>> = std::thread::scope(|threads| {
        let ends = Threads::world(3).into_iter();
        let running: Vec<_> = ends
            .map(|end| threads.spawn(move || if end.rank() == 2 { Ok(()) } else { end.barrier() }))
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(matches!(made[0], Err(Error::Gone { rank: 2, by: 0, .. })), "{made:?}");
    assert!(matches!(made[1], Err(Error::Gone { rank: 2, by: 1, .. })), "{made:?}");
}

#[test]
fn the_first_error_is_the_one_that_comes_back() {
    let made = Threads::run(3, |ranks| -> Result<()> {
        if ranks.rank() == 2 {
            return Err(Error::Start("here it began".to_owned()));
        }
        ranks.barrier()
    });
    assert_eq!(made.unwrap_err(), Error::Start("here it began".to_owned()));
}

#[test]
fn each_rank_has_its_share_of_threads() {
    let all = rayon::current_num_threads();
    let shares = Threads::run(2, |_| Ok::<_, Error>(rayon::current_num_threads())).unwrap();
    assert_eq!(shares, [(all / 2).max(1); 2]);
}
